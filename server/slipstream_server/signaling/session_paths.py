"""Sessions in paths: whose they are."""

from urllib.parse import quote

from aiohttp import web

from slipstream_server.errors import Forbidden
from slipstream_server.http.access import credential_of
from slipstream_server.http.roles import ALL_STREAMS, Role
from slipstream_server.sessions.registry import SessionRegistry


def own_session_id(request: web.Request, sessions: SessionRegistry) -> str:
    """The id of the session in the path, there is such a session or not.

    Raises:
        Forbidden: if the path has not the proof that the session is the caller's own, and the
            caller is not the admin.
    """
    id, _, proof = request.match_info["id"].partition(".")
    if credential_of(request).allows(Role.ADMIN, ALL_STREAMS) or sessions.is_owner(id, proof):
        return id
    raise Forbidden(
        f"session {id[:80]!r} is another caller's; use the address that came with the answer to "
        "your own offer"
    )


def shown_path(request: web.Request) -> str:
    """The path for the log, with its escapes, without the proof that a session is the caller's."""
    path = request.rel_url.raw_path
    if "id" not in request.match_info:
        return path
    id, before = request.match_info["id"].partition(".")[0], path.rpartition("/")[0]
    return f"{before}/{quote(id)}"

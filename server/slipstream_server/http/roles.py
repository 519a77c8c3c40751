"""Who may do what: roles, what a credential allows, and the table of all routes. Pure.

    role      may
    view      watch a stream, and read its parameters
    control   change its parameters as well
    publish   send its camera as well, and hand out what it has itself
    admin     everything

Each role includes those before it. A credential is for one stream, or for all; admin is for all.
"""

import enum
from collections.abc import Mapping
from dataclasses import dataclass

from slipstream_server.errors import Forbidden

ALL_STREAMS = "*"  # no stream can have this name


class Role(enum.IntEnum):
    """What a caller may do; a higher one includes the lower ones."""

    VIEW = 1
    CONTROL = 2
    PUBLISH = 3
    ADMIN = 4

    @property
    def label(self) -> str:
        return self.name.lower()


class Reach(enum.Enum):
    """Which streams a route is about."""

    ONE = "the stream in its path"
    ALL = "every stream, or whichever is the newest"
    CALL = "that of a call, which its handler knows and checks"


@dataclass(frozen=True, slots=True)
class Access:
    """What a route needs.

    Args:
        role: the least one; None for what everybody may do.
        reach: the streams that the credential must be for.
    """

    role: Role | None
    reach: Reach = Reach.CALL


@dataclass(frozen=True, slots=True, kw_only=True)
class Credential:
    """What a caller has shown.

    Args:
        role: what it may do.
        stream: the only one it is for, or `ALL_STREAMS`.
        owner: tells those apart who begin a stream: whoever comes back to a held one must be the
            same.
        takes_any_stream: whether it goes before every owner.
        expires_s: when it ends, in seconds since 1970; None for never.
    """

    role: Role
    stream: str = ALL_STREAMS
    owner: str = ""
    takes_any_stream: bool = False
    expires_s: int | None = None

    def allows(self, role: Role, stream: str) -> bool:
        """Whether this much may be done with the stream, or with all of them."""
        return self.role >= role and self.stream in (ALL_STREAMS, stream)

    def require(self, role: Role, stream: str) -> None:
        """Raise Forbidden unless this much may be done with the stream, or with all of them."""
        if not self.allows(role, stream):
            raise Forbidden(
                f"the token is for role {self.role.label}, {_named(self.stream)}; this needs role "
                f"{role.label}, {_named(stream)}: ask whoever runs the server for another link"
            )


_PUBLIC = Access(None)
_OFFER = "/api/v1/webrtc/offer"
_STREAM = "/api/v1/streams/{stream}"


def _whip(path: str, role: Role) -> dict[tuple[str, str], Access]:
    """The rows of WHIP or WHEP; `*` are the methods that are refused by name."""
    new, call = Access(role, Reach.ALL), f"{path}/{{stream}}/{{id}}"
    one = Access(role, Reach.ONE)
    posts = {path: new, f"{path}/": new, f"{path}/{{stream}}": one}
    return (
        {("POST", where): access for where, access in posts.items()}
        | {("OPTIONS", where): _PUBLIC for where in (*posts, call)}
        | {("*", where): Access(Role.VIEW) for where in (*posts, call)}
        | {("PATCH", call): one, ("DELETE", call): one}
    )


# every route that is no file of the page; one that is missing here is not served
ROUTES: Mapping[tuple[str, str], Access] = {
    ("GET", "/"): _PUBLIC,
    ("GET", "/view"): _PUBLIC,
    ("GET", "/view/"): _PUBLIC,
    ("GET", "/view/{stream}"): _PUBLIC,
    ("GET", "/health"): _PUBLIC,
    ("GET", "/ready"): _PUBLIC,
    ("GET", "/metrics"): Access(Role.ADMIN, Reach.ALL),
    ("POST", _OFFER): Access(Role.VIEW),
    ("PATCH", f"{_OFFER}/{{id}}"): Access(Role.VIEW),
    ("DELETE", f"{_OFFER}/{{id}}"): Access(Role.VIEW),
    ("GET", "/api/v1/webrtc/ice-servers"): Access(Role.VIEW),
    ("GET", "/api/v1/node"): Access(Role.ADMIN, Reach.ALL),
    ("GET", "/api/v1/streams"): Access(Role.VIEW, Reach.ALL),
    ("GET", f"{_STREAM}/parameters"): Access(Role.VIEW, Reach.ONE),
    ("PATCH", f"{_STREAM}/parameters"): Access(Role.CONTROL, Reach.ONE),
    ("GET", f"{_STREAM}/thumbnail"): Access(Role.VIEW, Reach.ONE),
    ("GET", f"{_STREAM}/still"): Access(Role.VIEW, Reach.ONE),
    ("GET", f"{_STREAM}/recording"): Access(Role.VIEW, Reach.ONE),
    ("POST", f"{_STREAM}/recording"): Access(Role.CONTROL, Reach.ONE),
    ("DELETE", f"{_STREAM}/recording"): Access(Role.CONTROL, Reach.ONE),
    ("GET", f"{_STREAM}/recordings"): Access(Role.CONTROL, Reach.ONE),
    ("GET", f"{_STREAM}/recordings/{{file}}"): Access(Role.CONTROL, Reach.ONE),
    ("GET", f"{_STREAM}/trace"): Access(Role.ADMIN, Reach.ONE),
    ("GET", f"{_STREAM}/tokens"): Access(Role.PUBLISH, Reach.ONE),
    **_whip("/whip", Role.PUBLISH),
    **_whip("/whep", Role.VIEW),
}


def access_of(method: str, path: str, *, files: frozenset[str] = frozenset()) -> Access | None:
    """What a route needs; None if it is not in the table.

    Args:
        method: of the request, or of the route.
        path: of the route, with its placeholders.
        files: paths of the page's files, which everybody may read.
    """
    method = "GET" if method == "HEAD" else method
    if method == "GET" and path in files:
        return _PUBLIC
    return ROUTES.get((method, path), ROUTES.get(("*", path)))


def _named(stream: str) -> str:
    return "for all streams" if stream == ALL_STREAMS else f"for stream {stream!r}"

"""Tokens to hand on: for a stream, or for all of them, to watch, to change or to publish.

    GET  /api/v1/streams/{stream}/tokens[?days=N]    `*` stands for all streams

Nobody gets more than the own token allows, nor for longer.
"""

import msgspec
from aiohttp import web

from slipstream_server.errors import RequestError
from slipstream_server.http.access import credential_of
from slipstream_server.http.roles import Role
from slipstream_server.http.token_issuer import DAY_S, IssuedToken, TokenIssuer
from slipstream_server.signaling.json_bodies import json_response

_DAYS_MAX = 3650


class StreamTokens(msgspec.Struct, frozen=True, kw_only=True):
    """One for each role; null where the server has no token, and nobody needs one."""

    view: IssuedToken | None
    control: IssuedToken | None
    publish: IssuedToken | None


class TokensApi:
    """The handler.

    Args:
        issuer: issues them; None where the server has no token.
    """

    def __init__(self, issuer: TokenIssuer | None) -> None:
        self._issuer = issuer

    def routes(self) -> list[web.RouteDef]:
        return [web.get("/api/v1/streams/{stream}/tokens", self.tokens)]

    async def tokens(self, request: web.Request) -> web.Response:
        """A token of each role that may be handed on."""
        lifetime_s = _lifetime_s(request)

        def issued(role: Role) -> IssuedToken | None:
            if self._issuer is None:
                return None
            try:
                return self._issuer.issue(
                    role,
                    request.match_info["stream"],
                    lifetime_s=lifetime_s,
                    latest_s=credential_of(request).expires_s,
                )
            except ValueError as error:
                raise RequestError(f"{error}; name a stream, or * for all") from error

        answer = json_response(
            StreamTokens(
                view=issued(Role.VIEW), control=issued(Role.CONTROL), publish=issued(Role.PUBLISH)
            )
        )
        answer.headers["Cache-Control"] = "no-store"
        return answer


def _lifetime_s(request: web.Request) -> int | None:
    """How long they live; None for the usual time of each role."""
    text = request.query.get("days")
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and 1 <= int(text[:9]) <= _DAYS_MAX):
        raise RequestError(f"days is {text[:80]!r}, it must be from 1 to {_DAYS_MAX}")
    return int(text) * DAY_S

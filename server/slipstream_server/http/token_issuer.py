"""Issues signed tokens, and verifies them: the signer with a clock."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from slipstream_server.http.roles import Credential, Role
from slipstream_server.http.signed_tokens import TokenSigner

DAY_S = 86_400
# a link that was sent to somebody ends; what a streamer has set up in OBS goes on
_LIFETIMES_S = {
    Role.VIEW: 30 * DAY_S,
    Role.CONTROL: 30 * DAY_S,
    Role.PUBLISH: 365 * DAY_S,
    Role.ADMIN: DAY_S,
}
PAGE_LIFETIME_S = 30 * DAY_S


class IssuedToken(msgspec.Struct, frozen=True, kw_only=True):
    """A signed token.

    Args:
        expiresS: in seconds since 1970.
    """

    token: str
    expiresS: int


def steady_wall_clock() -> Callable[[], float]:
    """A clock in seconds since 1970 that goes on by the monotonic one: where the machine's is set
    while the server runs, no token ends early, and none lives longer."""
    began_s, offset_s = time.monotonic(), time.time()
    return lambda: offset_s + time.monotonic() - began_s


def make_issuer(token: str) -> "TokenIssuer":
    """The issuer of a server with this token; takes some 50 ms."""
    return TokenIssuer(signer=TokenSigner(token), now_s=steady_wall_clock())


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenIssuer:
    """Issues and verifies.

    Args:
        signer: of the server's token.
        now_s: gives the time in seconds since 1970.
    """

    signer: TokenSigner
    now_s: Callable[[], float]

    def issue(
        self,
        role: Role,
        stream: str,
        *,
        lifetime_s: int | None = None,
        latest_s: int | None = None,
        browser: str = "",
    ) -> IssuedToken:
        """A token.

        Args:
            stream: its name, or `ALL_STREAMS`.
            lifetime_s: the role's own if None.
            latest_s: when it ends at the latest, in seconds since 1970.
            browser: a page's token is only for the browser with this in its cookie.

        Raises:
            ValueError: if no stream can have this name.
        """
        expires_s = int(self.now_s()) + (lifetime_s or _LIFETIMES_S[role])
        if latest_s is not None:
            expires_s = min(expires_s, latest_s)
        return IssuedToken(
            token=self.signer.sign(role, stream, expires_s, browser=browser), expiresS=expires_s
        )

    def verify(self, token: str, *, browser: str) -> Credential:
        """What a token is for. Raises TokenRejected if it is not valid now."""
        return self.signer.verify(token, now_s=self.now_s(), browser=browser)

"""What a caller of the gate may do, by the token that it shows.

Nodes decide: whatever is not allowed here is passed on to one, which refuses it with the reason.
Here it is only found out who may do anything at all, who may be given a place, or wait for one, and
who may see the fleet.
"""

import hmac
import re
from collections.abc import Mapping, Sequence
from http.cookies import CookieError, SimpleCookie

from slipstream_protocol.clock import now_ns
from slipstream_server.errors import TooOften, Unauthorized
from slipstream_server.http.rate_limit import client_key
from slipstream_server.http.roles import ALL_STREAMS, Credential, Role
from slipstream_server.http.signed_tokens import TokenRejected, looks_signed
from slipstream_server.http.token_issuer import make_issuer
from slipstream_server.http.wrong_tokens import WrongTokens

_COOKIE = re.compile(r"(?:__Host-|__Secure-)?slipstream-\d+")


class CallerCheck:
    """Judges tokens as a node does.

    Args:
        token: of the fleet; empty where everybody who reaches the gate may do everything.
    """

    def __init__(self, token: str) -> None:
        self._token = token.encode(errors="surrogatepass")
        self._issuer = make_issuer(token) if token else None
        self._wrong = WrongTokens()

    def allows(
        self, role: Role, stream: str, *, tokens: Sequence[str], cookies: str, client: str
    ) -> bool:
        """Whether any of the tokens is good for this.

        Args:
            tokens: that the request shows.
            cookies: its header of that name.
            client: the caller's address.
        """
        if self._issuer is None:
            return True
        return any(
            credential.allows(role, stream)
            for text in tokens
            for credential in self._credentials(text, cookies, client)
        )

    def require_any(self, *, tokens: Sequence[str], cookies: str, client: str) -> None:
        """Raise Unauthorized if none of the tokens is good for anything, TooOften if the caller has
        to wait before another is looked at."""
        if self._issuer is None:
            return
        wait_s = self._wrong.wait_s(client_key(client), now_ns())
        if any(self._credentials(text, cookies, client) for text in tokens):
            return
        if wait_s and not all(map(looks_signed, tokens)):
            raise TooOften(
                f"too many wrong tokens came from {client}; try again in {wait_s:.0f} s, or open "
                "the page by a link",
                retry_after_s=wait_s,
            )
        raise Unauthorized(
            "the token is wrong, or has ended; open the page by the link that was printed"
            if tokens
            else "the token is missing; open the page by its link, or send 'Authorization: Bearer "
            "...' (the fleet was started with a token)"
        )

    def is_admin(self, *, tokens: Sequence[str], cookies: str, client: str) -> bool:
        """Whether any of the tokens opens everything."""
        return self.allows(Role.ADMIN, ALL_STREAMS, tokens=tokens, cookies=cookies, client=client)

    def _credentials(self, text: str, cookies: str, client: str) -> list[Credential]:
        assert self._issuer is not None, "without a token nothing is judged"
        if not looks_signed(text):
            return self._by_own_token(text, client)
        found = []
        for browser in ("", *_browsers(cookies).values()):
            try:
                found.append(self._issuer.verify(text, browser=browser))
            except TokenRejected:
                continue
        return found

    def _by_own_token(self, text: str, client: str) -> list[Credential]:
        key, now = client_key(client), now_ns()
        if self._wrong.wait_s(key, now):
            return []
        if not hmac.compare_digest(text.encode(errors="surrogatepass"), self._token):
            self._wrong.count(key, now)
            return []
        return [Credential(role=Role.ADMIN, owner=Role.ADMIN.label, takes_any_stream=True)]


def _browsers(cookies: str) -> Mapping[str, str]:
    """What the cookies of our pages hold; there may be one for each port of the host."""
    jar: SimpleCookie = SimpleCookie()
    try:
        jar.load(cookies)
    except CookieError:
        return {}
    return {name: morsel.value for name, morsel in jar.items() if _COOKIE.fullmatch(name)}

"""Signed tokens: what links carry instead of the server's own token. Pure.

    slip1.view.<stream>.<expires>.<signature>     a link's: enough by itself
    slip1p.view.<stream>.<expires>.<signature>    a page's: of use only with its browser's cookie

`expires` is in seconds since 1970, `stream` a name or `*` for all. The signature is HMAC-SHA256
(RFC 2104) over all before it, and over the cookie's value for a page, in base64url (RFC 4648).
Its key is made from the server's token by scrypt (RFC 7914): a link does not give away a weak token
to whoever can guess fast, and another token makes every link worthless. Nothing is stored.
"""

import base64
import datetime
import hashlib
import hmac
import re

from slipstream_server.derived_keys import derived_key
from slipstream_server.http.roles import ALL_STREAMS, Credential, Role

_LINK, _PAGE = "slip1", "slip1p"
_FORM = re.compile(
    r"(?P<payload>(?P<kind>slip1p?)\.(?P<role>view|control|publish|admin)"
    r"\.(?P<stream>\*|[A-Za-z0-9_~-]{1,64})\.(?P<expires>[0-9]{1,12}))\.(?P<signature>[\w-]{43})",
    re.ASCII,
)
_LABEL = b"slipstream signed tokens, 1"


class TokenRejected(Exception):
    """A signed token is not valid; the message says why, for people."""


class TokenSigner:
    """Signs and verifies.

    Args:
        secret: the server's token.
    """

    def __init__(self, secret: str) -> None:
        self._key = derived_key(secret, _LABEL)

    def sign(self, role: Role, stream: str, expires_s: int, *, browser: str = "") -> str:
        """A token; a page's if `browser` is given.

        Raises:
            ValueError: if no stream can have this name, `expires_s` is not a time, or an admin's is
                not for all streams.
        """
        kind = _PAGE if browser else _LINK
        payload = f"{kind}.{role.label}.{stream}.{expires_s}"
        token = f"{payload}.{self._signature(payload, browser)}"
        is_for_nothing = role is Role.ADMIN and stream != ALL_STREAMS
        if is_for_nothing or not _FORM.fullmatch(token):
            raise ValueError(
                f"no token of role {role.label} can be for stream {stream!r}, until {expires_s}"
            )
        return token

    def verify(self, token: str, *, now_s: float, browser: str = "") -> Credential:
        """What the token is for.

        Args:
            browser: what its cookie holds; empty if it has none.

        Raises:
            TokenRejected: if it is not one of this server's, or has expired.
        """
        found = _FORM.fullmatch(token)
        if found is None:
            raise TokenRejected("the token is wrong")
        is_page = found["kind"] == _PAGE
        own = self._signature(found["payload"], browser if is_page else "")
        if (is_page and not browser) or not hmac.compare_digest(own, found["signature"]):
            raise TokenRejected(
                "this page's access has ended; open it by its link again"
                if is_page
                else "the link is not one of this server's, or its token has changed since"
            )
        expires_s = int(found["expires"])
        if expires_s <= now_s:
            raise TokenRejected(f"the link has expired on {_day(expires_s)}; ask for a new one")
        role, stream = Role[found["role"].upper()], found["stream"]
        return Credential(
            role=role,
            stream=stream,
            owner=_owner(role, stream),
            takes_any_stream=role is Role.ADMIN,
            expires_s=expires_s,
        )

    def _signature(self, payload: str, browser: str) -> str:
        message = b"\0".join((_bytes(payload), _bytes(browser)))
        digest = hmac.digest(self._key, message, hashlib.sha256)
        return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def looks_signed(token: str) -> bool:
    """Whether it has the form of a signed token: nobody guesses one of these."""
    return _FORM.fullmatch(token) is not None


def _owner(role: Role, stream: str) -> str:
    """Every key for one name is the same owner's, also one that was issued anew."""
    return role.label if stream == ALL_STREAMS else f"{role.label} {stream}"


def _day(seconds: int) -> str:
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).strftime("%Y-%m-%d")


def _bytes(text: str) -> bytes:
    """Its bytes; those that were not UTF-8 have become surrogates, and are signed as well."""
    return text.encode(errors="surrogatepass")

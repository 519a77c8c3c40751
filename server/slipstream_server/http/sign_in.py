"""Whose request it is: the token it shows, and how a page that is opened with one keeps its access.

A page's address may carry a token (`?token=`). It is answered by a redirect to the same address
without it, and with what the page is to send as a Bearer token in the part of an address that is
sent to nobody (`#access=`). The page takes that out of its address and keeps it in the storage of
its own origin.

A link's token is passed on so. In place of the admin's, which must not lie about, the page gets two
halves: a signed token, and a cookie that this is good with only. A browser sends the cookie to
every port of this host, but not what the page keeps; a script in the page may read what it keeps,
but not the cookie.
"""

import hmac
import logging
import re
import secrets
from collections.abc import Callable
from urllib.parse import urlencode

from aiohttp import web
from slipstream_protocol.clock import now_ns

from slipstream_server.errors import TooOften, Unauthorized
from slipstream_server.http.outside import outside_path
from slipstream_server.http.roles import ALL_STREAMS, Credential, Role
from slipstream_server.http.signed_tokens import TokenRejected, looks_signed
from slipstream_server.http.token_issuer import PAGE_LIFETIME_S, TokenIssuer
from slipstream_server.http.wrong_tokens import WrongTokens

logger = logging.getLogger(__name__)

QUERY = "token"
_FRAGMENT = "access"
_BROWSER = re.compile(r"[A-Za-z0-9_-]{32}")
_BROWSER_BYTES = 24
_MISSING = (
    "the token is missing; open the page by its link, or send 'Authorization: Bearer ...' (the "
    "server was started with a token)"
)


class SignIn:
    """Finds out who a request is from.

    Args:
        token: the server's own.
        issuer: of signed tokens.
        client_of: the address whose wrong tokens are counted together.
        on_wrong_token: called for each, for the metrics.
    """

    def __init__(
        self,
        token: str,
        issuer: TokenIssuer,
        *,
        client_of: Callable[[web.Request], str],
        on_wrong_token: Callable[[], None],
    ) -> None:
        self._token = token.encode(errors="surrogatepass")
        self._issuer = issuer
        self._client_of = client_of
        self._on_wrong_token = on_wrong_token
        self._wrong = WrongTokens()

    def credential(self, request: web.Request, *, accept_cookie: bool) -> Credential:
        """What the request's token is for.

        Raises:
            Unauthorized: if it has none, or a wrong one.
            TooOften: if its address has sent too many wrong ones. Signed tokens, which nobody
                guesses, are never refused for that.
        """
        presented = [text for text in (bearer(request), request.query.get(QUERY, "")) if text]
        reason = _MISSING
        for text in presented:
            try:
                return self._judge(text, request, accept_cookie=accept_cookie)
            except TokenRejected as error:
                reason = str(error)
        if presented:
            self._on_wrong_token()
        raise Unauthorized(reason)

    def exchange(self, request: web.Request) -> web.Response:
        """Redirect a page's request to its address without the token, with what it gets for it."""
        answer = without_token(request)
        try:
            credential = self.credential(request, accept_cookie=False)
        except (Unauthorized, TooOften) as error:  # the page says so itself, if anything is to say
            logger.info("GET %s: %s", request.rel_url.raw_path, error)
        else:
            access = request.query[QUERY]
            if credential.role is Role.ADMIN:
                browser = browser_of(request) or secrets.token_urlsafe(_BROWSER_BYTES)
                access = self._page_token(browser, latest_s=credential.expires_s)
                _set_cookie(answer, request, browser)
            answer.headers["Location"] += f"#{_FRAGMENT}={access}"
        return answer

    def _page_token(self, browser: str, *, latest_s: int | None) -> str:
        """The half of the admin's access that a page keeps."""
        return self._issuer.issue(
            Role.ADMIN,
            ALL_STREAMS,
            lifetime_s=PAGE_LIFETIME_S,
            latest_s=latest_s,
            browser=browser,
        ).token

    def _judge(self, text: str, request: web.Request, *, accept_cookie: bool) -> Credential:
        """What one token is for. Raises TokenRejected if it is wrong, TooOften if not looked at."""
        if looks_signed(text):
            browser = browser_of(request) if accept_cookie else ""
            return self._issuer.verify(text, browser=browser)
        client, now = self._client_of(request), now_ns()
        if wait_s := self._wrong.wait_s(client, now):
            raise TooOften(
                f"too many wrong tokens came from {client}; try again in {wait_s:.0f} s, or open "
                "the page by a link",
                retry_after_s=wait_s,
            )
        # bytes that are not UTF-8 have been decoded to surrogates, which are compared as well
        if not hmac.compare_digest(text.encode(errors="surrogatepass"), self._token):
            self._wrong.count(client, now)
            if wait_s := self._wrong.wait_s(client, now):
                logger.warning("%s sends wrong tokens and waits for %.0f s", client, wait_s)
            raise TokenRejected("the token is wrong; open the page by the link that was printed")
        return Credential(role=Role.ADMIN, owner=Role.ADMIN.label, takes_any_stream=True)


def without_token(request: web.Request) -> web.Response:
    """Redirect to the same address without the token, whatever the path is behind a proxy."""
    rest = [(key, text) for key, text in request.query.items() if key != QUERY]
    where = "./" + request.rel_url.raw_name + (f"?{urlencode(rest)}" if rest else "")
    return web.Response(status=303, headers={"Cache-Control": "no-store", "Location": where})


def bearer(request: web.Request) -> str:
    """The Bearer token (RFC 6750) of a request; empty if it has none."""
    scheme, _, text = request.headers.get("Authorization", "").partition(" ")
    return text.strip() if scheme.lower() == "bearer" else ""


def cookie_name(request: web.Request) -> str:
    """The cookie's name: cookies are not kept apart by port, so it names the port.

    Over https the name says that no plain http has set it, nor another host where it is for every
    path (RFC 6265bis, section 4.1.3).
    """
    name = f"slipstream-{request.url.port or 0}"
    if not request.secure:
        return name
    return f"__Host-{name}" if outside_path(request, "/") == "/" else f"__Secure-{name}"


def browser_of(request: web.Request) -> str:
    """What the browser's cookie holds; empty if it has none of ours."""
    text = request.cookies.get(cookie_name(request), "")
    return text if _BROWSER.fullmatch(text) else ""


def _set_cookie(answer: web.Response, request: web.Request, browser: str) -> None:
    answer.set_cookie(
        cookie_name(request),
        browser,
        path=outside_path(request, "/"),
        httponly=True,
        # Lax: a link that is followed from elsewhere must find the browser's cookie, not replace it
        samesite="Lax",
        secure=request.secure,
    )

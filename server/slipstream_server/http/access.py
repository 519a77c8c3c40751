"""Access control: token, origin and host of a request, and what answers say of them."""

import hmac
import ipaddress

from aiohttp import web
from aiohttp.typedefs import Middleware
from yarl import URL

from slipstream_server.config import ServerConfig
from slipstream_server.errors import Forbidden, Unauthorized
from slipstream_server.http.outside import Handler, outside_path

COOKIE = "slipstream_token"
_GUARDED = ("/api/", "/metrics", "/whip", "/whep")
_MEDIA = ("/whip", "/whep")  # pages of other origins may use these, if they send the token
_CHANGING = ("POST", "PATCH", "PUT", "DELETE")
_CORS = {
    "Access-Control-Allow-Methods": "GET, POST, PATCH, DELETE, OPTIONS",
    "Access-Control-Allow-Headers": "Authorization, Content-Type, If-Match",
    "Access-Control-Expose-Headers": "Location, ETag, Link, Retry-After, Accept-Post, Accept-Patch",
    "Access-Control-Max-Age": "600",
    "Vary": "Origin",
}


class Guard:
    """Authorises every request, and adds CORS headers and the cookie to answers.

    The token is accepted as `?token=`, as `Authorization: Bearer`, or as a cookie. A page that was
    opened with `?token=` gets the cookie, so that its scripts need not handle the token. Pages of
    other origins may use WHIP and WHEP where the server has a token, if they send it themselves,
    and those of the allowed origins everything; the cookie does not count for them.

    `middlewares` puts the two halves in their order around the error handler: an error that
    `authorize` raises becomes an answer, and that answer gets its headers too.
    """

    def __init__(self, config: ServerConfig) -> None:
        self._token = config.token
        self._origins = config.web_addressing.allowed_origins
        self._is_loopback = config.is_loopback

    def middlewares(self, errors: Middleware, *inner: Middleware) -> list[Middleware]:
        """An application's middlewares, the outermost first.

        Args:
            errors: makes answers of the errors raised within.
            inner: run before the request is authorised.
        """
        return [self.add_headers, errors, *inner, self.authorize]

    @web.middleware
    async def authorize(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Raise Forbidden or Unauthorized if the request is not allowed.

        Checked are the host name (DNS rebinding), the origin (CSRF) and the token.
        """
        self._check_host(request)
        foreign = _foreign_origin(request)
        is_preflight = bool(foreign) and "Access-Control-Request-Method" in request.headers
        if is_preflight and self._allows_cross_origin(request, foreign):
            return web.Response(status=204)  # `add_headers` says what is allowed
        if (
            request.method in _CHANGING
            and foreign
            and not self._allows_cross_origin(request, foreign)
        ):
            raise Forbidden(
                f"the request comes from {foreign}, only pages of {request.host} may make it"
            )
        if self._token and request.path.startswith(_GUARDED) and request.method != "OPTIONS":
            self._check_token(request, accept_cookie=not foreign)
        return await handler(request)

    @web.middleware
    async def add_headers(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Add CORS headers where they apply, and the cookie for a right token."""
        response = await handler(request)
        foreign = _foreign_origin(request)
        if foreign and self._allows_cross_origin(request, foreign):
            response.headers.update(_CORS | {"Access-Control-Allow-Origin": foreign})
        if self._token and self._is_token(request.query.get("token", "")):
            response.set_cookie(
                COOKIE,
                self._token,
                path=outside_path(request, "/"),
                httponly=True,
                samesite="Strict",
                secure=request.secure,
            )
        return response

    def _allows_cross_origin(self, request: web.Request, origin: str) -> bool:
        """Whether pages of this other origin may make this request."""
        is_open = bool(self._token) and request.path.startswith(_MEDIA)
        return is_open or self._origins.includes(origin)

    def _check_token(self, request: web.Request, *, accept_cookie: bool) -> None:
        """Raise Unauthorized unless the request carries the token."""
        scheme, _, bearer = request.headers.get("Authorization", "").partition(" ")
        candidates = [request.query.get("token", "")]
        if scheme.lower() == "bearer":
            candidates.append(bearer.strip())
        if accept_cookie:
            candidates.append(request.cookies.get(COOKIE, ""))
        # all of them are compared, so that the time taken does not reveal which one was right
        if not any([self._is_token(candidate) for candidate in candidates]):
            raise Unauthorized(
                "the token is missing or wrong; open the page with ?token=..., or send "
                "'Authorization: Bearer ...' (the server was started with it)"
            )

    def _is_token(self, text: str) -> bool:
        # bytes that are not UTF-8 have been decoded to surrogates, which are compared as well
        candidate, own = (part.encode(errors="surrogatepass") for part in (text, self._token))
        return hmac.compare_digest(candidate, own)

    def _check_host(self, request: web.Request) -> None:
        """Raise Forbidden if a foreign host name resolves to this machine (DNS rebinding)."""
        if not self._is_loopback or self._token:
            return
        # a page under such a name can send the headers of a proxy, but not this one
        for host in (request.headers.get("Host", ""), request.host):
            if not _is_local(host):
                raise Forbidden(
                    f"the request is for host {host!r}, without a token only localhost is served; "
                    "open http://localhost, or start the server with --token"
                )


def _foreign_origin(request: web.Request) -> str:
    """The Origin header of a page that is not this server's own; empty if it is, or is no page.

    The browser's own word goes first, which no script can change (Fetch Metadata): a proxy may have
    replaced the host that the page was asked from.
    """
    origin = request.headers.get("Origin")
    if origin is None or request.headers.get("Sec-Fetch-Site") == "same-origin":
        return ""
    theirs, own = _url(origin), _url(f"{request.scheme}://{request.host}")
    is_own = theirs is not None and own is not None and theirs.authority == own.authority
    return "" if is_own else origin


def _url(text: str) -> URL | None:
    """The URL, or None if the text is none."""
    try:
        return URL(text)
    except ValueError:
        return None


def _is_local(host: str) -> bool:
    """Whether a request's host can be no other machine's name."""
    url = _url(f"http://{host}")
    name = (url.host or "") if url is not None else ""
    return name == "localhost" or name.endswith(".localhost") or _is_loopback(name)


def _is_loopback(name: str) -> bool:
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False

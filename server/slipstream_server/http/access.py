"""Who may ask, and from where: token, origin, and the headers that keep a page to itself."""

import hmac
import ipaddress
from collections.abc import Awaitable, Callable

from aiohttp import web
from yarl import URL

from slipstream_server.config import ServerConfig
from slipstream_server.errors import Forbidden, Unauthorized

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

COOKIE = "slipstream_token"
_GUARDED = ("/api/", "/metrics", "/whip", "/whep")
_MEDIA = ("/whip", "/whep")  # other sites' pages may use these, with the token in their own hands
_CHANGING = ("POST", "PATCH", "PUT", "DELETE")
_CORS = {
    "Access-Control-Allow-Methods": "POST, PATCH, DELETE, OPTIONS",
    "Access-Control-Allow-Headers": "Authorization, Content-Type, If-Match",
    "Access-Control-Expose-Headers": "Location, ETag, Link, Retry-After, Accept-Post, Accept-Patch",
    "Access-Control-Max-Age": "600",
    "Vary": "Origin",
}
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'self'; img-src 'self' data: blob:; media-src 'self' blob: mediastream:; "
        "style-src 'self' 'unsafe-inline'; object-src 'none'; base-uri 'none'; "
        "form-action 'none'; frame-ancestors 'self'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(self), microphone=(), geolocation=()",
    "Referrer-Policy": "no-referrer",  # the address may carry the token
    "X-Content-Type-Options": "nosniff",
}


class Guard:
    """Checks every request against the settings.

    A page that was opened with `?token=` gets the token back as a cookie only its own scripts'
    requests carry, so that it need not handle it. Pages of other sites may use WHIP and WHEP where
    the server has a token, if they bring it themselves; the cookie does not count then.
    """

    def __init__(self, config: ServerConfig) -> None:
        self._token = config.token
        self._loopback = config.is_loopback

    @web.middleware
    async def check(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Refuse what may not be."""
        self._check_host(request)
        foreign = _foreign_origin(request)
        if request.method in _CHANGING and foreign and not self._is_open(request):
            raise Forbidden(
                f"the request comes from {foreign}, only pages of {request.host} may make it"
            )
        if request.path.startswith(_GUARDED) and request.method != "OPTIONS":
            self._check_token(request, with_cookie=not foreign)
        return await handler(request)

    @web.middleware
    async def mark(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Put the headers on every answer, and the cookie on those to a right token."""
        response = await handler(request)
        response.headers.update(_HEADERS)
        foreign = _foreign_origin(request)
        if foreign and self._is_open(request):
            response.headers.update(_CORS | {"Access-Control-Allow-Origin": foreign})
        if self._token and self._matches(request.query.get("token", "")):
            response.set_cookie(
                COOKIE, self._token, httponly=True, samesite="Strict", secure=request.secure
            )
        return response

    def _is_open(self, request: web.Request) -> bool:
        """Whether other sites' pages may ask for this."""
        return bool(self._token) and request.path.startswith(_MEDIA)

    def _check_token(self, request: web.Request, *, with_cookie: bool) -> None:
        """Raise Unauthorized unless the token came along in one of its three ways."""
        if not self._token:
            return
        scheme, _, bearer = request.headers.get("Authorization", "").partition(" ")
        given = (
            bearer.strip() if scheme.lower() == "bearer" else "",
            request.query.get("token", ""),
            request.cookies.get(COOKIE, "") if with_cookie else "",
        )
        # every way is compared, so that the time taken tells nothing
        if not any([self._matches(text) for text in given]):
            raise Unauthorized(
                "the token is missing or wrong; open the page with ?token=..., or send "
                "'Authorization: Bearer ...' (the server was started with it)"
            )

    def _matches(self, text: str) -> bool:
        # bytes that are no text have come as surrogates, which can be compared all the same
        given, own = (part.encode(errors="surrogatepass") for part in (text, self._token))
        return hmac.compare_digest(given, own)

    def _check_host(self, request: web.Request) -> None:
        """Raise Forbidden if a foreign name was made to point at this machine (DNS rebinding)."""
        if not self._loopback or self._token:
            return
        url = _url(f"http://{request.host}")
        name = (url.host or "") if url is not None else ""
        if name == "localhost" or name.endswith(".localhost") or _is_loopback(name):
            return
        raise Forbidden(
            f"the request is for host {request.host!r}, without a token only localhost is served; "
            "open http://localhost, or start the server with --token"
        )


def _foreign_origin(request: web.Request) -> str:
    """The site whose page asks, if it is not this server's own."""
    origin = request.headers.get("Origin")
    if origin is None:
        return ""
    asking, here = _url(origin), _url(f"{request.scheme}://{request.host}")
    same = asking is not None and here is not None and asking.authority == here.authority
    return "" if same else origin


def _url(text: str) -> URL | None:
    """The address, or None if the text is none."""
    try:
        return URL(text)
    except ValueError:
        return None


def _is_loopback(name: str) -> bool:
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False

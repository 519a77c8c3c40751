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
_GUARDED = ("/api/", "/metrics")
_CHANGING = ("POST", "PATCH", "PUT", "DELETE")
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
    requests carry, so that it need not handle it.
    """

    def __init__(self, config: ServerConfig) -> None:
        self._token = config.token
        self._loopback = config.is_loopback

    @web.middleware
    async def check(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Refuse what may not be."""
        self._check_host(request)
        self._check_origin(request)
        if request.path.startswith(_GUARDED):
            self._check_token(request)
        return await handler(request)

    @web.middleware
    async def mark(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Put the headers on every answer, and the cookie on those to a right token."""
        response = await handler(request)
        response.headers.update(_HEADERS)
        if self._token and self._matches(request.query.get("token", "")):
            response.set_cookie(
                COOKIE, self._token, httponly=True, samesite="Strict", secure=request.secure
            )
        return response

    def _check_token(self, request: web.Request) -> None:
        """Raise Unauthorized unless the token came along in one of its three ways."""
        if not self._token:
            return
        scheme, _, bearer = request.headers.get("Authorization", "").partition(" ")
        given = (
            bearer.strip() if scheme.lower() == "bearer" else "",
            request.query.get("token", ""),
            request.cookies.get(COOKIE, ""),
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

    def _check_origin(self, request: web.Request) -> None:
        """Raise Forbidden if a page of another site asks for a change."""
        origin = request.headers.get("Origin")
        if request.method not in _CHANGING or origin is None:
            return
        asking, here = _url(origin), _url(f"{request.scheme}://{request.host}")
        if asking is None or here is None or asking.authority != here.authority:
            raise Forbidden(
                f"the request comes from {origin}, only pages of {request.host} may make it"
            )

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

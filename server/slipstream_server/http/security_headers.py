"""Headers of every answer: what browsers may do with it, and nothing about the server.

Sources: CSP Level 3, RFC 6797 (HSTS), RFC 9110 (section 10.2.4, Server).
"""

from collections.abc import MutableMapping

from aiohttp import web

from slipstream_server.http.outside import caller_of, inside_path
from slipstream_server.web_addressing import AllowedOrigins

_HSTS = "max-age=15552000"  # 180 days; other names under the host's are not ours to speak for
_CSP = (
    "default-src 'self'; img-src 'self' data: blob:; media-src 'self' blob: mediastream:; "
    "object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
)
_VIEWER = "/view"
_HEADERS = {
    "Content-Security-Policy": _CSP,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(self), microphone=(self), geolocation=()",
    "Referrer-Policy": "no-referrer",  # the address may carry the token
    "X-Content-Type-Options": "nosniff",
}


def add_security_headers(headers: MutableMapping[str, str], *, is_secure: bool) -> None:
    """Add them to an answer's, and take out the name of the server's software.

    Args:
        is_secure: whether the caller uses https; only then HSTS is allowed (RFC 6797, 7.2).
    """
    headers.update(_HEADERS)
    if is_secure:
        headers["Strict-Transport-Security"] = _HSTS
    headers.pop("Server", None)


class SecurityHeaders:
    """The headers of an application's answers.

    Args:
        framing: the origins that may show the viewer's page in a frame.
    """

    def __init__(self, framing: AllowedOrigins) -> None:
        self._viewer_csp = " ".join([_CSP, *framing.sources])

    async def on_response_prepare(self, request: web.Request, response: web.StreamResponse) -> None:
        """For the application's signal of that name: the router's own answers have it too."""
        add_security_headers(response.headers, is_secure=caller_of(request).scheme == "https")
        path = inside_path(request)
        if path == _VIEWER or path.startswith(f"{_VIEWER}/"):
            response.headers["Content-Security-Policy"] = self._viewer_csp

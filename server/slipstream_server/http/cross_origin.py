"""Which answers the pages of other origins may read (CORS, in the Fetch standard). Pure.

Pages of the allowed origins may use everything; where there is a token, those of any origin may use
WHIP and WHEP, if they send it themselves.
"""

from collections.abc import Mapping

from yarl import URL

from slipstream_server.web_addressing import AllowedOrigins

_MEDIA = ("/whip", "/whep")
_HEADERS: Mapping[str, str] = {
    "Access-Control-Allow-Methods": "GET, POST, PATCH, DELETE, OPTIONS",
    "Access-Control-Allow-Headers": "Authorization, Content-Type, If-Match",
    "Access-Control-Expose-Headers": "Location, ETag, Link, Retry-After, Accept-Post, Accept-Patch",
    "Access-Control-Max-Age": "600",
    "Vary": "Origin",
}


class CrossOrigin:
    """The rule.

    Args:
        origins: that are allowed.
        has_token: whether callers need one.
    """

    def __init__(self, origins: AllowedOrigins, *, has_token: bool) -> None:
        self._origins = origins
        self._has_token = has_token

    def allows(self, path: str, origin: str) -> bool:
        """Whether pages of this other origin may make requests for this path."""
        is_open = self._has_token and path.startswith(_MEDIA)
        return is_open or self._origins.includes(origin)

    def headers(self, path: str, origin: str) -> Mapping[str, str]:
        """What an answer to such a page says; nothing where it may not be read.

        Args:
            origin: see `foreign_origin`; empty for a request of a page of ours, or of no page.
        """
        if not origin or not self.allows(path, origin):
            return {}
        return {**_HEADERS, "Access-Control-Allow-Origin": origin}


def foreign_origin(origin: str | None, fetch_site: str | None, *, own: str) -> str:
    """The origin of a page that is not the server's own; empty if it is, or is no page.

    The browser's own word goes first, which no script can change (Fetch Metadata): a proxy may have
    replaced the host that the page was asked from.

    Args:
        origin: the header of that name, None where there is none.
        fetch_site: the header `Sec-Fetch-Site`, likewise.
        own: scheme and host by which the server was addressed, as `http://host:port`.
    """
    if origin is None or fetch_site == "same-origin":
        return ""
    theirs, ours = url_or_none(origin), url_or_none(own)
    is_own = theirs is not None and ours is not None and theirs.authority == ours.authority
    return "" if is_own else origin


def url_or_none(text: str) -> URL | None:
    """The URL, or None if the text is none."""
    try:
        return URL(text)
    except ValueError:
        return None

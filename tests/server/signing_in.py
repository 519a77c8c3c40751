"""A page that is opened by its link, as a browser does it, in plain HTTP."""

from typing import Any

from aiohttp import ClientSession
from aiohttp.test_utils import TestClient
from slipstream_server.http.roles import Role
from slipstream_server.http.signed_tokens import TokenSigner
from yarl import URL

FAR_S = 10_000_000_000  # in the year 2286


def bearer_of(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def signed_for(secret: str, role: Role, stream: str, *, expires_s: int = FAR_S) -> dict[str, str]:
    """The header of a caller with a signed token of the server with this secret."""
    return bearer_of(TokenSigner(secret).sign(role, stream, expires_s))


async def opened_by_link(
    client: TestClient[Any, Any] | ClientSession, link: str | URL
) -> tuple[dict[str, str], URL]:
    """Follow a page's link: the header that the page then sends, and its address.

    The cookie is in the client's jar.
    """
    async with client.get(link, allow_redirects=False) as response:
        assert response.status == 303
        assert response.headers["Cache-Control"] == "no-store"
        where = response.url.join(URL(response.headers["Location"]))
    key, _, token = where.fragment.partition("=")
    assert key in ("access", "")
    return (bearer_of(token) if token else {}), where.with_fragment(None)

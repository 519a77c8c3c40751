"""http/cross_origin.py: which answers pages of other origins may read."""

import pytest
from slipstream_server.http.cross_origin import CrossOrigin, foreign_origin
from slipstream_server.web_addressing import AllowedOrigins

STUDIO, OTHER = "https://studio.example", "https://other.example"


@pytest.mark.parametrize(
    ("path", "origin", "has_token", "allowed"),
    [
        ("/api/v1/streams", STUDIO, False, True),
        ("/api/v1/streams", OTHER, True, False),
        ("/whip/stage", OTHER, True, True),
        ("/whep", OTHER, True, True),
        ("/whip/stage", OTHER, False, False),
        ("/api/v1/streams", "", True, False),
    ],
)
def test_what_may_be_read(path: str, origin: str, has_token: bool, allowed: bool) -> None:
    """everything by pages of the allowed origins; WHIP and WHEP by any where there is a token."""
    headers = CrossOrigin(AllowedOrigins([STUDIO]), has_token=has_token).headers(path, origin)
    assert headers.get("Access-Control-Allow-Origin") == (origin if allowed else None)
    assert ("Vary" in headers) is allowed


@pytest.mark.parametrize(
    ("origin", "fetch_site", "foreign"),
    [
        (None, None, ""),
        ("https://here.example", None, ""),
        ("https://here.example:444", None, "https://here.example:444"),
        (OTHER, "same-origin", ""),
        (OTHER, "cross-site", OTHER),
        ("null", None, "null"),
        ("http://[", None, "http://["),
    ],
)
def test_which_pages_are_of_another_origin(
    origin: str | None, fetch_site: str | None, foreign: str
) -> None:
    """those whose host or port is another, unless the browser says that they are not."""
    assert foreign_origin(origin, fetch_site, own="https://here.example") == foreign

"""What a browser loads for the studio."""

import gzip
from pathlib import Path

WEB = Path(__file__).parents[2] / "web"
SENT_MAX_BYTES = 120_000
UNPACKED_MAX_BYTES = 310_000


def test_the_page_is_light() -> None:
    """all its files together, as they are sent, and as the browser has to read them."""
    folders = (WEB / "studio", WEB / "shared")
    files = [
        WEB / "index.html",
        WEB / "icon.svg",
        *(one for f in folders for one in f.rglob("*.*")),
    ]
    contents = [path.read_bytes() for path in files]
    sent = sum(len(gzip.compress(content)) for content in contents)
    assert 50_000 < sent < SENT_MAX_BYTES
    assert sum(map(len, contents)) < UNPACKED_MAX_BYTES

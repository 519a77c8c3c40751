"""What a browser loads for the studio."""

import gzip
from pathlib import Path

from tests.gallery import order_module, styles

WEB = Path(__file__).parents[2] / "web"
SENT_MAX_BYTES = 120_000
UNPACKED_MAX_BYTES = 320_000
PICTURES_MAX_BYTES = 300_000


def test_the_page_is_light() -> None:
    """all its files together, as they are sent, and as the browser has to read them; but for the
    pictures of the styles."""
    folders = (WEB / "studio", WEB / "shared")
    files = [
        WEB / "index.html",
        WEB / "icon.svg",
        *(one for f in folders for one in f.rglob("*.*") if one.suffix != ".webp"),
    ]
    contents = [path.read_bytes() for path in files]
    sent = sum(len(gzip.compress(content)) for content in contents)
    assert 50_000 < sent < SENT_MAX_BYTES
    assert sum(map(len, contents)) < UNPACKED_MAX_BYTES


def test_every_style_of_the_embedded_model_has_its_picture() -> None:
    """side by side in one file, which is small; a new style wants `python -m tests.gallery`."""
    assert (WEB / "studio" / "style_pictures.js").read_text() == order_module(styles())
    assert 20_000 < (WEB / "studio" / "styles.webp").stat().st_size < PICTURES_MAX_BYTES

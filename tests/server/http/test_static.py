"""Which files of the page are served, and that no request reaches any other."""

from pathlib import Path

import pytest
from yarl import URL

from tests.server.serving import serving

SECRET = "this is nobody's business"


async def test_files_of_every_folder_are_served_fresh(tmp_path: Path) -> None:
    """the two pages by their short addresses too; browsers ask each time whether they changed."""
    async with serving(tmp_path, ready=False) as server:
        for path, name in (
            ("/", "index.html"),
            ("/view", "view.html"),
            ("/view/", "view.html"),
            ("/view/some-stream", "view.html"),
            ("/view.html", "view.html"),
            ("/studio/main.js", "studio/main.js"),
        ):
            async with server.client.get(path) as response:
                assert response.status == 200
                assert response.headers["Cache-Control"] == "no-cache"
                assert await response.text() == f"this is {name}"


@pytest.mark.parametrize(
    "path",
    [
        "/main.js",
        "/studio",
        "/studio/",
        "/studio/nothing.js",
        "/studio/notes.txt",
        "/studio/.js",
        "/../secret.js",
        "/studio/../../secret.js",
        "/studio/../index.html",
        "/studio/%2e%2e/%2e%2e/secret.js",
        "/studio%2Fmain.js",
        "/..%2fsecret.js",
        "//studio/main.js",
        "/studio//main.js",
        "/studio/main.js%00",
    ],
)
async def test_nothing_else_is_served(tmp_path: Path, path: str) -> None:
    """404 for folders, other kinds of files, other spellings, and all that lies outside."""
    page = tmp_path / "web"
    (page / "studio").mkdir(parents=True)
    (page / "studio" / "notes.txt").write_text(SECRET)
    (tmp_path / "secret.js").write_text(SECRET)
    async with serving(page, ready=False) as server:
        url = URL(f"http://127.0.0.1:{server.client.port}{path}", encoded=True)
        async with server.client.session.get(url) as response:
            assert SECRET not in await response.text()
            assert response.status == 404


async def test_files_are_sent_compressed_to_who_takes_it(tmp_path: Path) -> None:
    """and in full to who does not; one that has not changed is not sent again, one that has is."""
    async with serving(tmp_path, ready=False) as server:
        page = tmp_path / "index.html"
        text = "this is a longer page " * 200
        page.write_text(text)
        async with server.client.get("/") as packed:
            assert packed.headers["Content-Encoding"] == "gzip"
            assert packed.headers["Vary"] == "Accept-Encoding"
            assert packed.headers["Content-Type"].startswith("text/html")
            assert int(packed.headers["Content-Length"]) < len(text) / 10
            assert await packed.text() == text
            known = {"If-None-Match": packed.headers["ETag"]}
        async with server.client.get("/", headers=known) as same:
            assert (same.status, await same.text()) == (304, "")
        async with server.client.get("/", headers={"Accept-Encoding": "identity"}) as plain:
            assert "Content-Encoding" not in plain.headers
            assert await plain.text() == text
        page.write_text("another")
        async with server.client.get("/", headers=known) as changed:
            assert (changed.status, await changed.text()) == (200, "another")

"""The page's files over HTTP: the studio, the viewer, and the modules and styles they load.

They are sent compressed to whoever takes that (RFC 9110, section 8.4.1.3): a third of the bytes.
"""

import asyncio
import gzip
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from aiohttp import web

from slipstream_server.errors import ConfigError
from slipstream_server.http.outside import add_slash

_CONTENT_TYPES = {
    ".html": "text/html",
    ".js": "text/javascript",
    ".css": "text/css",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".webp": "image/webp",
    ".ico": "image/x-icon",
    ".webmanifest": "application/manifest+json",
}
_STUDIO = "index.html"
_VIEWER = "view.html"


def web_root() -> Path:
    """The folder of the page's files: the checkout's if there is one, else the package's.

    Raises:
        ConfigError: if neither is there.
    """
    package = Path(__file__).resolve().parent.parent
    for root in (package.parent.parent / "web", package / "web"):
        if (root / _STUDIO).is_file():
            return root
    raise ConfigError(f"the page's files are neither beside nor in {package}; install again")


def page_routes(root: Path) -> list[web.RouteDef]:
    """One route for each file below `root` with a known suffix, and `/` and `/view/` for the pages.

    The pages name their files and the API relative to themselves, so that they need not know what
    path a proxy has put before them.

    Paths of requests are only compared with these routes, never joined to a path on the disk, so no
    request can leave `root`; everything else is the router's 404.
    """
    files = {
        path.relative_to(root).as_posix(): path
        for path in sorted(root.rglob("*"))
        if path.suffix in _CONTENT_TYPES and path.is_file()
    }
    routes = [web.get(f"/{name}", _sender(path)) for name, path in files.items()]
    routes.append(web.get("/", _sender(files[_STUDIO])))
    if _VIEWER in files:
        viewer = _sender(files[_VIEWER])
        routes += [web.get(path, viewer) for path in ("/view/", "/view/{stream}")]
        routes.append(web.get("/view", add_slash))
    return routes


def _sender(path: Path) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    """A handler that answers with the file; browsers ask whether it changed each time."""
    file = _CompressedFile(path)

    async def send(request: web.Request) -> web.StreamResponse:
        if "gzip" not in request.headers.get("Accept-Encoding", "").lower():
            headers = {"Cache-Control": "no-cache", "Vary": "Accept-Encoding"}
            return web.FileResponse(path, headers=headers)
        content = await asyncio.to_thread(file.read)
        headers = {
            "Cache-Control": "no-cache",
            "Content-Encoding": "gzip",
            "ETag": f'"{content.tag}"',
            "Vary": "Accept-Encoding",
        }
        known = request.if_none_match or ()
        if any(tag.value == content.tag for tag in known):
            return web.Response(status=304, headers=headers)
        return web.Response(
            body=content.body, headers=headers, content_type=_CONTENT_TYPES[path.suffix]
        )

    return send


@dataclass(frozen=True, slots=True, kw_only=True)
class _Content:
    """A file's bytes in gzip; `tag` is another for each content."""

    tag: str
    body: bytes


class _CompressedFile:
    """A file that is compressed once for each time it changes."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._content: _Content | None = None

    def read(self) -> _Content:
        """From any thread: at worst two do the same work."""
        stat = self._path.stat()
        tag = f"{stat.st_mtime_ns:x}-{stat.st_size:x}-gzip"
        content = self._content
        if content is None or content.tag != tag:
            content = _Content(tag=tag, body=gzip.compress(self._path.read_bytes(), mtime=0))
            self._content = content
        return content

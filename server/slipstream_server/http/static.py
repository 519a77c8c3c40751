"""The page's files over HTTP: the studio, the viewer, and the modules and styles they load."""

from collections.abc import Awaitable, Callable
from pathlib import Path

from aiohttp import web

from slipstream_server.errors import ConfigError
from slipstream_server.http.outside import add_slash

_SUFFIXES = (".html", ".js", ".css", ".svg", ".png", ".ico", ".webmanifest")
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
        if path.suffix in _SUFFIXES and path.is_file()
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

    async def send(request: web.Request) -> web.StreamResponse:
        return web.FileResponse(path, headers={"Cache-Control": "no-cache"})

    return send

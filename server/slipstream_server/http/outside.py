"""Requests as they were made outside: by whom, over which scheme, to which host and path.

The outermost middleware passes on a request whose `remote`, `scheme`, `host` and path are the
caller's, whatever proxies are between; nothing further inward knows of any. Each route stands under
the base path too, for proxies that leave it.
"""

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import replace

from aiohttp import web
from yarl import URL

from slipstream_server.http.forwarded import Caller, ForwardedHeaders, caller_of_request
from slipstream_server.web_addressing import WebAddressing

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_HEADERS = (
    *("Forwarded", "X-Forwarded-For", "X-Forwarded-Proto"),
    *("X-Forwarded-Host", "X-Forwarded-Port", "X-Forwarded-Prefix"),
)
_CALLER = web.RequestKey("caller", Caller)
_PATH = web.RequestKey("path", str)


class OutsideView:
    """The middleware, and the routes that it needs.

    Args:
        addressing: whose word is taken, and the base path.
    """

    def __init__(self, addressing: WebAddressing) -> None:
        self._trusted = addressing.trusted_proxies
        self._base_path = addressing.base_path

    def routes(self, routes: Iterable[web.RouteDef]) -> list[web.RouteDef]:
        """The routes, and each once more under the base path."""
        own = list(routes)
        if not self._base_path:
            return own
        under = [
            web.route(route.method, self._base_path + route.path, route.handler, **route.kwargs)
            for route in own
        ]
        return [web.get(self._base_path, add_slash), *under, *own]

    @web.middleware
    async def show(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Pass on the request as it was made outside."""
        direct = Caller(address=request.remote or "", scheme=request.scheme, host=request.host)
        caller = caller_of_request(direct, _read(request), self._trusted)
        url = request.rel_url
        if self._base_path and _route_path(request).startswith(self._base_path + "/"):
            url = _without(self._base_path, url)
            if not caller.prefix.endswith(self._base_path):
                caller = replace(caller, prefix=caller.prefix + self._base_path)
        elif not caller.prefix:
            caller = replace(caller, prefix=self._base_path)
        request[_CALLER], request[_PATH] = caller, url.path
        return await handler(
            request.clone(
                scheme=caller.scheme, host=caller.host, remote=caller.address, rel_url=url
            )
        )


async def add_slash(request: web.Request) -> web.StreamResponse:
    """Redirect to the same address with a slash at the end of its path, relative to itself: what a
    proxy has taken off may be unknown here."""
    segment, query = request.rel_url.raw_path.rpartition("/")[2], request.rel_url.raw_query_string
    location = f"{segment}/?{query}" if query else f"{segment}/"
    return web.Response(status=307, headers={"Location": location})


def caller_of(request: web.Request) -> Caller:
    """Whose request it is; the peer's own where it came to no application."""
    direct = Caller(address=request.remote or "", scheme=request.scheme, host=request.host)
    caller: Caller = request.get(_CALLER, direct)
    return caller


def inside_path(request: web.Request) -> str:
    """The path of the request without the base path, as this server's own routes name it."""
    path: str = request.get(_PATH, request.path)
    return path


def outside_path(request: web.Request, path: str) -> str:
    """One of the server's paths as it is called outside, for a header such as Location."""
    return caller_of(request).prefix + path


def _read(request: web.Request) -> ForwardedHeaders:
    forwarded, for_, proto, host, port, prefix = (
        request.headers.getall(name, []) for name in _HEADERS
    )
    return ForwardedHeaders(
        forwarded=forwarded, for_=for_, proto=proto, host=host, port=port, prefix=prefix
    )


def _route_path(request: web.Request) -> str:
    """The path of the route that was found; the path of the request may have escapes in it."""
    resource = request.match_info.route.resource
    return resource.canonical if resource is not None else ""


def _without(base_path: str, url: URL) -> URL:
    """The URL without as many segments as the base path has."""
    rest = url.raw_path.split("/", base_path.count("/") + 1)[-1]
    return URL.build(path=f"/{rest}", query_string=url.raw_query_string, encoded=True)

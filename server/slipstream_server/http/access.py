"""Access control: role, origin and host of a request, and what answers say of them."""

import hashlib
import ipaddress

from aiohttp import web
from aiohttp.typedefs import Middleware
from aiohttp.web_urldispatcher import AbstractResource

from slipstream_server.errors import Forbidden
from slipstream_server.http.cross_origin import CrossOrigin, foreign_origin, url_or_none
from slipstream_server.http.outside import Handler
from slipstream_server.http.roles import (
    ALL_STREAMS,
    ROUTES,
    Access,
    Credential,
    Reach,
    Role,
    access_of,
)
from slipstream_server.http.sign_in import QUERY, SignIn, bearer, without_token
from slipstream_server.web_addressing import WebAddressing

_CREDENTIAL = web.RequestKey("credential", Credential)
_PAGES = ("/", "/view", "/view/", "/view/{stream}")
_CHANGING = ("POST", "PATCH", "PUT", "DELETE")


class Guard:
    """Authorises every request, and adds CORS headers to answers.

    What a route needs stands in the table of `http/roles.py`, what pages of other origins may in
    `http/cross_origin.py`; what our own pages have does not count for them.

    `middlewares` puts the two halves in their order around the error handler: an error that
    `authorize` raises becomes an answer, and that answer gets its headers too.

    Args:
        sign_in: finds out who a request is from; None where the server has no token, and everybody
            who reaches it may do everything.
        is_loopback: whether only this machine reaches it.
        addressing: the allowed origins, and the path that routes have before them.
        files: paths of the page's files.
    """

    def __init__(
        self,
        sign_in: SignIn | None,
        *,
        is_loopback: bool,
        addressing: WebAddressing,
        files: frozenset[str] = frozenset(),
    ) -> None:
        self._sign_in = sign_in
        self._is_loopback = is_loopback
        self._cross_origin = CrossOrigin(addressing.allowed_origins, has_token=sign_in is not None)
        self._base_path = addressing.base_path
        self._files = files

    def check_routes(self, app: web.Application) -> None:
        """Raise LookupError if the application has a route without a row in the table."""
        for route in app.router.routes():
            path = self._template(route.resource)
            if access_of(route.method, path, files=self._files) is None:
                raise LookupError(f"{route.method} {path} has no row in the table of routes")

    def middlewares(self, errors: Middleware, *inner: Middleware) -> list[Middleware]:
        """An application's middlewares, the outermost first.

        Args:
            errors: makes answers of the errors raised within.
            inner: run before the request is authorised.
        """
        return [self.add_headers, errors, *inner, self.authorize]

    @web.middleware
    async def authorize(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Raise Forbidden, Unauthorized or TooOften if the request is not allowed.

        Checked are the host name (DNS rebinding), the origin (CSRF), and what the route needs.
        """
        self._check_host(request)
        foreign = _foreign_origin(request)
        is_preflight = bool(foreign) and "Access-Control-Request-Method" in request.headers
        if is_preflight and self._cross_origin.allows(request.path, foreign):
            return web.Response(status=204)  # `add_headers` says what is allowed
        if (
            request.method in _CHANGING
            and foreign
            and not self._cross_origin.allows(request.path, foreign)
        ):
            raise Forbidden(
                f"the request comes from {foreign}, only pages of {request.host} may make it"
            )
        if request.match_info.http_exception is None:  # else there is nothing to be had
            access = self._access(request)
            if access.role is None and self._is_page_with_token(request):
                return self._without_token(request)
            request[_CREDENTIAL] = self._credential(request, access, is_foreign=bool(foreign))
        return await handler(request)

    def _access(self, request: web.Request) -> Access:
        """What the request's route needs; a route that is not in the table is the admin's."""
        path = self._template(request.match_info.route.resource)
        return access_of(request.method, path, files=self._files) or Access(Role.ADMIN, Reach.ALL)

    def _credential(self, request: web.Request, access: Access, *, is_foreign: bool) -> Credential:
        """Whose request it is, who may make it."""
        if self._sign_in is None:
            return Credential(role=Role.ADMIN, owner=_fingerprint(bearer(request)))
        if access.role is None:
            return Credential(role=Role.VIEW, stream="")
        credential = self._sign_in.credential(request, accept_cookie=not is_foreign)
        match access.reach:
            case Reach.ONE:
                credential.require(access.role, request.match_info["stream"])
            case Reach.ALL:
                credential.require(access.role, ALL_STREAMS)
            case Reach.CALL:
                credential.require(access.role, credential.stream)
        return credential

    def _is_page_with_token(self, request: web.Request) -> bool:
        path = self._template(request.match_info.route.resource)
        is_page = path in _PAGES or path.endswith(".html")
        return request.method == "GET" and is_page and QUERY in request.query

    def _without_token(self, request: web.Request) -> web.Response:
        if self._sign_in is None:
            return without_token(request)
        return self._sign_in.exchange(request)

    @web.middleware
    async def add_headers(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Add CORS headers where they apply."""
        response = await handler(request)
        foreign = _foreign_origin(request)
        response.headers.update(self._cross_origin.headers(request.path, foreign))
        return response

    def _template(self, resource: AbstractResource | None) -> str:
        """The path of a route with its placeholders, without the base path."""
        path = resource.canonical if resource is not None else ""
        if path in self._files or any(path == own for _, own in ROUTES):
            return path
        return path.removeprefix(self._base_path) or "/"

    def _check_host(self, request: web.Request) -> None:
        """Raise Forbidden if a foreign host name resolves to this machine (DNS rebinding)."""
        if not self._is_loopback or self._sign_in is not None:
            return
        # a page under such a name can send the headers of a proxy, but not this one
        for host in (request.headers.get("Host", ""), request.host):
            if not _is_local(host):
                raise Forbidden(
                    f"the request is for host {host!r}, without a token only localhost is served; "
                    "open http://localhost, or start the server with --token"
                )


def credential_of(request: web.Request) -> Credential:
    """Whose request it is, once it is authorised."""
    return request[_CREDENTIAL]


def _fingerprint(token: str) -> str:
    """Tells callers apart by a token that is otherwise not looked at."""
    return hashlib.sha256(token.encode(errors="surrogatepass")).hexdigest() if token else ""


def _foreign_origin(request: web.Request) -> str:
    headers = request.headers
    own = f"{request.scheme}://{request.host}"
    return foreign_origin(headers.get("Origin"), headers.get("Sec-Fetch-Site"), own=own)


def _is_local(host: str) -> bool:
    """Whether a request's host can be no other machine's name."""
    url = url_or_none(f"http://{host}")
    name = (url.host or "") if url is not None else ""
    return name == "localhost" or name.endswith(".localhost") or _is_loopback(name)


def _is_loopback(name: str) -> bool:
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False

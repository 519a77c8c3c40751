"""The gate as an ASGI application."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import ClassVar

from slipstream_server.errors import BodyTooLate, RequestError
from slipstream_server.http.bodies import BODY_MAX_BYTES, BODY_S
from slipstream_server.http.cross_origin import CrossOrigin
from slipstream_server.http.forwarded import Caller, ForwardedHeaders, caller_of_request
from slipstream_server.web_addressing import TrustedProxies, WebAddressing
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from slipstream_fleet.caller_check import CallerCheck
from slipstream_fleet.fleet_api import FleetApi
from slipstream_fleet.forwarding import Headers, header_value, header_values
from slipstream_fleet.gate import Gate
from slipstream_fleet.gate_request import GateRequest
from slipstream_fleet.node_client import HttpAnswer, NodeClient
from slipstream_fleet.watch import FleetControl, FleetWatch

_METHODS = ["GET", "HEAD", "POST", "PATCH", "PUT", "DELETE", "OPTIONS"]


def gate_app(
    control: FleetControl, *, token: str, addressing: WebAddressing, max_waiting: int
) -> Starlette:
    """The gate of a fleet; it knows the nodes when its start-up is complete.

    Args:
        control: what runs the nodes.
        token: of the fleet; empty for none.
        addressing: how it is reached from outside.
        max_waiting: callers who may wait in the line.
    """
    client = NodeClient(token)
    watch = FleetWatch(control, client)
    api = FleetApi(watch, control)
    origins = CrossOrigin(addressing.allowed_origins, has_token=bool(token))
    gate = Gate(watch, client, CallerCheck(token), api, origins, max_waiting=max_waiting)

    @contextlib.asynccontextmanager
    async def watching(_: Starlette) -> AsyncIterator[None]:
        async with client:
            await watch.look()
            running = asyncio.create_task(watch.run(), name="fleet watch")
            try:
                yield
            finally:
                running.cancel()
                await asyncio.gather(running, return_exceptions=True)

    async def answer(request: Request) -> Response:
        head = _head(request, addressing.trusted_proxies)
        given = await gate.handle(head, lambda: _read(request))
        if given.rest is not None:
            return _LongResponse(given)
        response = Response(status_code=given.status, content=given.body)
        if not given.body:
            del response.headers["content-length"]
        for name, value in given.headers:
            response.headers.append(name, value)
        if given.status != 204 and not given.body:
            response.headers["Content-Length"] = "0"
        return response

    # the path is read off the scope: its escapes matter
    return Starlette(routes=[Route("/{path:path}", answer, methods=_METHODS)], lifespan=watching)


class _LongResponse(StreamingResponse):
    """Passes on an answer as it comes, and no more of it than is wanted."""

    def __init__(self, given: HttpAnswer) -> None:
        super().__init__(self._parts(given), status_code=given.status)
        self._rest = given.rest
        for name, value in given.headers:
            self.headers.append(name, value)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            if self._rest is not None:
                self._rest.close()

    async def _parts(self, given: HttpAnswer) -> AsyncIterator[bytes]:
        yield given.body
        if given.rest is not None:
            async for part in given.rest:
                yield part


class _BodyTooLarge(RequestError):
    status: ClassVar[int] = 413


async def _read(request: Request) -> bytes:
    """The request's body.

    Raises:
        BodyTooLate, _BodyTooLarge: if it cannot be taken.
    """
    body = b""
    try:
        async with asyncio.timeout(BODY_S):
            async for part in request.stream():
                body += part
                if len(body) > BODY_MAX_BYTES:
                    raise _BodyTooLarge(f"the most is {BODY_MAX_BYTES} bytes")
    except TimeoutError:
        raise BodyTooLate(
            f"the body has not come within {BODY_S:g} s; send it whole, on a better link"
        ) from None
    return body


def _head(request: Request, trusted: TrustedProxies) -> GateRequest:
    """The request without its body."""
    headers = [
        (name.decode("latin-1"), value.decode("latin-1")) for name, value in request.headers.raw
    ]
    raw_path = request.scope.get("raw_path") or request.scope["path"].encode()
    direct = Caller(
        address=request.client.host if request.client else "",
        scheme=request.scope["scheme"],
        host=header_value(headers, "Host"),
    )
    return GateRequest(
        method=request.method,
        raw_path=raw_path.decode("latin-1"),
        query=request.scope["query_string"].decode("latin-1"),
        headers=headers,
        peer=direct,
        caller=caller_of_request(direct, _forwarded(headers), trusted),
    )


def _forwarded(headers: Headers) -> ForwardedHeaders:
    return ForwardedHeaders(
        forwarded=header_values(headers, "Forwarded"),
        for_=header_values(headers, "X-Forwarded-For"),
        proto=header_values(headers, "X-Forwarded-Proto"),
        host=header_values(headers, "X-Forwarded-Host"),
        port=header_values(headers, "X-Forwarded-Port"),
    )

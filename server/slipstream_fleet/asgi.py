"""The gate as an ASGI application."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

from slipstream_server.errors import BodyTooLate, RequestError
from slipstream_server.http.bodies import BODY_MAX_BYTES, BODY_S
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from slipstream_fleet.answers import error_answer
from slipstream_fleet.caller_check import CallerCheck
from slipstream_fleet.fleet_api import FleetApi
from slipstream_fleet.forwarding import header_value
from slipstream_fleet.gate import Gate, GateRequest
from slipstream_fleet.node_client import HttpAnswer, NodeClient
from slipstream_fleet.watch import FleetControl, FleetWatch

_METHODS = ["GET", "HEAD", "POST", "PATCH", "PUT", "DELETE", "OPTIONS"]
_TOO_LARGE = 413


def gate_app(control: FleetControl, *, token: str, max_waiting: int) -> Starlette:
    """The gate of a fleet; it knows the nodes when its start-up is complete.

    Args:
        control: what runs the nodes.
        token: of the fleet; empty for none.
        max_waiting: callers who may wait in the line.
    """
    client = NodeClient(token)
    watch = FleetWatch(control, client)
    api = FleetApi(watch, control)
    gate = Gate(watch, client, CallerCheck(token), api, max_waiting=max_waiting)

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
        try:
            given = await gate.handle(await _read(request))
        except RequestError as error:
            given = error_answer(error)
        except _BodyTooLarge:
            given = HttpAnswer(
                status=_TOO_LARGE,
                headers=[("Content-Type", "application/json")],
                body=f'{{"error": "the most is {BODY_MAX_BYTES} bytes"}}'.encode(),
            )
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


class _BodyTooLarge(Exception):
    pass


async def _read(request: Request) -> GateRequest:
    """The request with its body.

    Raises:
        BodyTooLate, _BodyTooLarge: if it cannot be taken.
    """
    body = b""
    try:
        async with asyncio.timeout(BODY_S):
            async for part in request.stream():
                body += part
                if len(body) > BODY_MAX_BYTES:
                    raise _BodyTooLarge
    except TimeoutError:
        raise BodyTooLate(
            f"the body has not come within {BODY_S:g} s; send it whole, on a better link"
        ) from None
    headers = [
        (name.decode("latin-1"), value.decode("latin-1")) for name, value in request.headers.raw
    ]
    raw_path = request.scope.get("raw_path") or request.scope["path"].encode()
    return GateRequest(
        method=request.method,
        raw_path=raw_path.decode("latin-1"),
        query=request.scope["query_string"].decode("latin-1"),
        headers=headers,
        body=body,
        client=request.client.host if request.client else "",
        scheme=request.scope["scheme"],
        host=header_value(headers, "Host"),
    )

"""What is left of a body when its request has been answered is taken off the wire, at little cost.

A connection that is closed before is reset, and its caller may never see the answer. aiohttp itself
would parse all that comes for its lingering time, without a turn for anything else where the body
is of tiny chunks: one stranger's request would stop the event loop for as long.
"""

import asyncio
from contextlib import suppress

from aiohttp import StreamReader, web

from slipstream_server.http.connection import HttpConnection
from slipstream_server.http.outside import Handler

REFUSED_BODY_S = 2.0  # then it is cut off
REFUSED_READS = 256  # or after so many


@web.middleware
async def discard_refused_body(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Send the answer, then take off the wire what nobody has read of the body."""
    try:
        response = await handler(request)
    except web.HTTPException as error:
        if request.content.is_eof():
            raise
        response = error
    if not request.content.is_eof():
        with suppress(ConnectionError):  # the caller has gone before its answer
            await response.prepare(request)
            await response.write_eof()
            await _discard(request)
    return response


async def _discard(request: web.Request) -> None:
    connection = request.transport.get_protocol() if request.transport is not None else None
    if request.content_length is None and isinstance(connection, HttpConnection):
        # what is left has no end but the chunk that says so, and reading chunks is what costs
        connection.discard()
        await asyncio.sleep(REFUSED_BODY_S)
        return
    with suppress(TimeoutError, ConnectionError, web.RequestPayloadError):
        async with asyncio.timeout(REFUSED_BODY_S):
            await _read_away(request.content)


async def _read_away(content: StreamReader) -> None:
    for _ in range(REFUSED_READS):
        if not await content.readany():
            return
        await asyncio.sleep(0)  # a piece that is there already is read without a pause

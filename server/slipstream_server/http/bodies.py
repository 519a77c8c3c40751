"""Bodies of requests: read once the request is authorised, in time, up to a bound, never packed."""

import asyncio
from collections.abc import Mapping
from typing import Any

from aiohttp import web

from slipstream_server.errors import BodyTooLate, LengthRequired, WrongType
from slipstream_server.http.outside import Handler

BODY_MAX_BYTES = 256 << 10
BODY_S = 10.0  # a whole body on a bad link

# for every aiohttp server: its parser would else unpack bodies as they come, before any handler;
# `refused_bodies` takes off the wire what is left of them
HTTP_OPTIONS: Mapping[str, Any] = {"auto_decompress": False, "lingering_time": 0}


@web.middleware
async def read_body(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Read the body before the handler runs, which gets it at once from `request.read()`.

    It is the innermost middleware: a request that is refused, or has no handler, is not read.

    Raises:
        WrongType: if it is packed; nothing is ever unpacked here.
        LengthRequired: if it is in chunks (RFC 9110, 8.6), each of which costs time to parse.
        BodyTooLate: if it does not come within `BODY_S`.
        web.RequestPayloadError: if it is malformed, or the caller goes away.
        web.HTTPRequestEntityTooLarge: if it is larger than the application takes.
    """
    if request.can_read_body and request.match_info.http_exception is None:
        coding = request.headers.get("Content-Encoding", "identity")
        if coding.strip().lower() != "identity":
            raise WrongType(
                f"Content-Encoding is {coding[:80]}, bodies are not unpacked here; send it as it is"
            )
        length = request.content_length
        if length is None:
            raise LengthRequired(
                "the body has no Content-Length; send it whole, not with Transfer-Encoding: chunked"
            )
        if length > BODY_MAX_BYTES:
            raise web.HTTPRequestEntityTooLarge(max_size=BODY_MAX_BYTES, actual_size=length)
        try:
            async with asyncio.timeout(BODY_S):
                await request.read()
        except TimeoutError:
            raise BodyTooLate(
                f"the body has not come within {BODY_S:g} s; send it whole, on a better link"
            ) from None
        except ConnectionError as error:
            raise web.RequestPayloadError(f"the caller is gone: {error}") from error
    return await handler(request)

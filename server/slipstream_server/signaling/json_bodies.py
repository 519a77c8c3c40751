"""JSON in the bodies of requests and responses."""

from typing import TypeVar

import msgspec
from aiohttp import web

from slipstream_server.errors import RequestError

Body = TypeVar("Body")


async def read_json(request: web.Request, kind: type[Body]) -> Body:
    """The request's body as `kind`.

    Raises:
        RequestError: if it is not JSON, or not of that form.
    """
    raw = await request.read()
    try:
        return msgspec.json.decode(raw, type=kind)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise RequestError(
            f"the body cannot be read: {error}; it begins with {raw[:40]!r}"
        ) from error


def json_response(content: msgspec.Struct, *, status: int = 200) -> web.Response:
    return web.Response(
        status=status, body=msgspec.json.encode(content), content_type="application/json"
    )

"""A request handed on to a media worker, and its answer handed back (RFC 9110, 7.6)."""

import logging
from collections.abc import Iterable

import aiohttp
from aiohttp import web
from multidict import CIMultiDict
from yarl import URL

from slipstream_server.errors import Unavailable
from slipstream_server.workers.pool import Worker

logger = logging.getLogger(__name__)

_RETRY_S = 2.0
# said between two neighbours only, or said anew by each
_HOP_BY_HOP = frozenset(
    (
        *("connection", "keep-alive", "proxy-authenticate", "proxy-authorization"),
        *("proxy-connection", "te", "trailer", "transfer-encoding", "upgrade"),
        *("content-length", "date", "server", "expect"),
    )
)


async def proxy(request: web.Request, worker: Worker) -> web.Response:
    """The worker's answer. Bodies are small on both sides, so they are passed on whole.

    Raises:
        Unavailable: if the worker is down, ends meanwhile, or does not answer in time.
        web.HTTPRequestEntityTooLarge: if the body is larger than the application takes.
    """
    http = worker.require()
    try:
        async with http.request(
            request.method,
            URL(f"http://worker{request.raw_path}", encoded=True),
            headers=_asked(request),
            data=await request.read(),
            allow_redirects=False,
        ) as answer:
            return web.Response(
                status=answer.status,
                reason=answer.reason,
                headers=_end_to_end(answer.headers.items()),
                body=await answer.read(),
            )
    except (aiohttp.ClientError, TimeoutError) as error:
        logger.warning("%s %s at %s: %r", request.method, request.path, worker.name, error)
        raise Unavailable(
            f"{worker.name} has ended or hangs before it had answered; try again",
            retry_after_s=_RETRY_S,
        ) from error


def _asked(request: web.Request) -> CIMultiDict[str]:
    """What the caller says, without what has been taken off the body on its way in."""
    headers = _end_to_end(request.headers.items())
    headers.popall("Content-Encoding", None)
    return headers


def _end_to_end(headers: Iterable[tuple[str, str]]) -> CIMultiDict[str]:
    passed = CIMultiDict(headers)
    named = ",".join(passed.getall("Connection", [])).lower().split(",")
    for name in {*_HOP_BY_HOP, *(word.strip() for word in named)}:
        passed.popall(name, None)
    return passed

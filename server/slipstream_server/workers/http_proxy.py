"""Proxies a request to a media worker, and its answer back (RFC 9110, section 7.6)."""

import logging
from collections.abc import Iterable

import aiohttp
from aiohttp import web
from multidict import CIMultiDict
from yarl import URL

from slipstream_server.errors import Unavailable
from slipstream_server.http.rate_limit import CLIENT_HEADER
from slipstream_server.workers.pool import Worker

logger = logging.getLogger(__name__)

_RETRY_S = 2.0
# of one connection only, or written anew for each
_HOP_BY_HOP = frozenset(
    (
        *("connection", "keep-alive", "proxy-authenticate", "proxy-authorization"),
        *("proxy-connection", "te", "trailer", "transfer-encoding", "upgrade"),
        *("content-length", "date", "server", "expect"),
    )
)


async def proxy(request: web.Request, worker: Worker) -> web.Response:
    """The worker's answer to a request. Bodies are small both ways, so they are not streamed.

    Raises:
        Unavailable: if the worker is down, ends before it answers, or does not answer in time.
        web.HTTPRequestEntityTooLarge: if the body is larger than the application takes.
    """
    http = worker.require()
    try:
        async with http.request(
            request.method,
            URL(f"http://worker{request.raw_path}", encoded=True),
            headers=_request_headers(request),
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


def _request_headers(request: web.Request) -> CIMultiDict[str]:
    """The caller's headers, and its address in place of one that it names itself."""
    headers = _end_to_end(request.headers.items())
    headers[CLIENT_HEADER] = request.remote or ""
    return headers


def _end_to_end(headers: Iterable[tuple[str, str]]) -> CIMultiDict[str]:
    kept = CIMultiDict(headers)
    named = ",".join(kept.getall("Connection", [])).lower().split(",")
    for name in {*_HOP_BY_HOP, *(name.strip() for name in named)}:
        kept.popall(name, None)
    return kept

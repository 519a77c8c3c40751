"""What is answered to bytes that are no request, before any application sees one.

aiohttp makes these answers itself: with a header that names it, without ours, and with a traceback
in the log for each. A request that could not be parsed belongs to no application, so its signals do
not come.

Private names of aiohttp that are used: `Server._loop` and `_kwargs`, which are passed on;
`StreamResponse._prepare_headers` is extended.
"""

import json
import logging

from aiohttp import web

from slipstream_server.http.security_headers import add_security_headers

logger = logging.getLogger(__name__)

_REASON_MAX = 200  # characters


class RequestProtocol(web.RequestHandler):
    """aiohttp's protocol of one connection, with answers of our own where it fails."""

    __slots__ = ()

    @classmethod
    def of(cls, server: web.Server) -> "RequestProtocol":
        """A protocol for one connection, as the server makes it itself."""
        return cls(server, loop=server._loop, **server._kwargs)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """The answer; the connection is closed after it.

        Raises:
            ConnectionError: if another answer has begun already.
        """
        if status >= 500:
            logger.error("a request from %s failed", request.remote, exc_info=exc)
            reason = "the server has failed at this request; its log has the reason"
        else:
            logger.debug("%s sends what is no request: %r", request.remote, exc)
            said = " ".join((message or "").split())[:_REASON_MAX]
            reason = f"the request cannot be read: {said or 'it is no HTTP/1.1'}"
        if request.writer.output_size > 0:
            raise ConnectionError("an answer has begun already")
        answer = _OwnPage(
            status=status, body=json.dumps({"error": reason}), content_type="application/json"
        )
        answer.force_close()
        return answer


class _OwnPage(web.Response):
    """An answer that gets its headers without an application."""

    async def _prepare_headers(self) -> None:
        await super()._prepare_headers()
        is_secure = self._req is not None and self._req.secure
        add_security_headers(self.headers, is_secure=is_secure)

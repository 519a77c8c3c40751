"""Counts the requests that are answered with an error."""

from http import HTTPStatus

from aiohttp import web

from slipstream_server.http.outside import Handler
from slipstream_server.observability.http_metrics import HttpMetrics


class RefusalCounter:
    """Its middleware goes around those that make answers of errors.

    Args:
        metrics: where they are counted.
    """

    def __init__(self, metrics: HttpMetrics) -> None:
        self._metrics = metrics

    @web.middleware
    async def count(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            response = await handler(request)
        except web.HTTPException as error:
            self._count(error.status, request)
            raise
        self._count(response.status, request)
        return response

    def _count(self, status: int, request: web.Request) -> None:
        is_gone = request.transport is None or request.transport.is_closing()
        if status >= HTTPStatus.BAD_REQUEST and not is_gone:  # a caller who left was not refused
            self._metrics.refused(status, request.path)

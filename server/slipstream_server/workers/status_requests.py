"""Requests for a worker process's status, matched to their answers by number."""

import asyncio
from collections.abc import Callable

from slipstream_server.errors import Unavailable
from slipstream_server.workers.protocol import StatusRequest

STATUS_TIMEOUT_S = 2.0  # within which a worker that does not hang answers
_RETRY_S = 2.0


class StatusRequests:
    """The requests to one worker process.

    Args:
        worker: its name, for messages.
        send: sends a request to it.
    """

    def __init__(self, worker: str, send: Callable[[StatusRequest], None]) -> None:
        self._worker = worker
        self._send = send
        self._last_sent = 0
        self._last_answered = 0
        self._waiting: dict[int, asyncio.Future[None]] = {}

    @property
    def all_answered(self) -> bool:
        return self._last_answered == self._last_sent

    def request(self) -> int:
        """Send a request; returns its number."""
        self._last_sent += 1
        self._send(StatusRequest(number=self._last_sent))
        return self._last_sent

    async def answer(self) -> None:
        """Send a request and wait for its answer.

        Raises:
            Unavailable: if the answer does not come in time, or the process ends.
        """
        answered: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        number = self.request()
        self._waiting[number] = answered
        try:
            async with asyncio.timeout(STATUS_TIMEOUT_S):
                await answered
        except TimeoutError as error:
            raise Unavailable(
                f"{self._worker} has not answered within {STATUS_TIMEOUT_S:g} s; try again",
                retry_after_s=_RETRY_S,
            ) from error
        finally:
            del self._waiting[number]

    def on_answer(self, number: int) -> None:
        """The answer to a request has been received; 0 is a status that answers none."""
        self._last_answered = number
        answered = self._waiting.get(number)
        if answered is not None and not answered.done():
            answered.set_result(None)

    def on_end(self) -> None:
        """The process has ended, so no answer will come."""
        for answered in self._waiting.values():
            if not answered.done():
                answered.set_exception(
                    Unavailable(f"{self._worker} has just ended; try again", retry_after_s=_RETRY_S)
                )

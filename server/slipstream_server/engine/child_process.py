"""A child process's lives: it is started again whenever it ends, until told to stop."""

import asyncio
import contextlib
import logging
import signal
from collections.abc import Awaitable, Callable

from slipstream_protocol.clock import NS_PER_S, now_ns

from slipstream_server.engine.backoff import RestartBackoff

logger = logging.getLogger(__name__)

_LEAVE_S = 2.0


class RestartingChild:
    """Runs one life after the other, with a pause between them; see `engine/backoff.py`.

    Args:
        what: the child is, for messages.
        one_life: runs it from start to end; returns what to say of the end.
        down: told that, when the child is to be started again.
    """

    def __init__(
        self, what: str, one_life: Callable[[], Awaitable[str]], *, down: Callable[[str], None]
    ) -> None:
        self.stopping = asyncio.Event()
        self.restarts = 0
        self.is_stillborn = False  # the present life has promised to serve and does not yet
        self._what = what
        self._one_life = one_life
        self._down = down

    async def run(self) -> None:
        """Until `stopping` is set and the last life has ended."""
        pauses = RestartBackoff()
        while not self.stopping.is_set():
            began_ns = now_ns()
            try:
                reason = await self._one_life()
            except Exception as error:  # whatever a child does, the next one is started
                logger.exception("%s could not be served", self._what)
                reason = f"{self._what} could not be served: {error}"
            if self.stopping.is_set():
                break
            served_s = (now_ns() - began_ns) / NS_PER_S
            pause = pauses.after(reason, served_s=served_s, is_stillborn=self.is_stillborn)
            self._down(pause.word)
            logger.error("%s; it is started again in %.1f s", pause.word, pause.wait_s)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.stopping.wait(), pause.wait_s)
            self.restarts += 1


async def terminate(process: asyncio.subprocess.Process, *, patience_s: float = _LEAVE_S) -> None:
    """See a child out: it has been told, or its channel is closed; then less gently.

    Args:
        patience_s: how long it may take to leave by itself.
    """
    for ask, wait_s in ((None, patience_s), (signal.SIGTERM, _LEAVE_S)):
        if ask is not None and process.returncode is None:
            process.send_signal(ask)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(process.wait(), wait_s)
            return
    process.kill()
    await process.wait()


def exit_reason(what: str, process: asyncio.subprocess.Process) -> str:
    """By which signal, or with which exit code."""
    code = process.returncode
    if code is not None and code < 0:
        return f"{what} was ended by {signal.Signals(-code).name}"
    return f"{what} has ended with exit code {code}"

"""Child processes: restarted with back-off whenever they end, and terminated in steps."""

import asyncio
import contextlib
import logging
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Any, TypeVar

from slipstream_protocol.clock import NS_PER_S, now_ns

logger = logging.getLogger(__name__)

FIRST_DELAY_S = 0.5
LONGEST_DELAY_S = 30.0
SAME_FAILURE_DELAY_S = 300.0
SAME_FAILURES_MAX = 5  # starts that fail for one reason before the long delay
_STEADY_S = 10.0  # a child that has served for longer is restarted after the first delay
_EXIT_S = 2.0

ResultT = TypeVar("ResultT")


@dataclass(frozen=True, slots=True, kw_only=True)
class RestartDelay:
    """How long to wait before the next start.

    Args:
        explanation: why the child ended, and what to do where waiting alone will not help.
    """

    wait_s: float
    explanation: str


class RestartBackoff:
    """Exponential back-off between restarts. Pure: times are arguments.

    The delay doubles while runs are short. A child that fails to start for the same reason time
    after time gets a long delay: nothing will change before somebody acts on the reason.
    """

    def __init__(self) -> None:
        self._delay_s = FIRST_DELAY_S
        self._reason = ""
        self._same_failures = 0

    def after(self, reason: str, *, served_s: float, failed_to_start: bool) -> RestartDelay:
        """The delay after a run.

        Args:
            reason: why the run ended.
            served_s: how long it lasted.
            failed_to_start: whether it ended before it served.
        """
        if not failed_to_start:
            self._same_failures = 0
        else:
            self._same_failures = self._same_failures + 1 if reason == self._reason else 1
        self._reason = reason
        if self._same_failures >= SAME_FAILURES_MAX:
            explanation = (
                f"{reason} ({self._same_failures} times in a row for this reason, it is tried "
                f"again in {SAME_FAILURE_DELAY_S:.0f} s; set right what it says and start the "
                "server anew)"
            )
            return RestartDelay(wait_s=SAME_FAILURE_DELAY_S, explanation=explanation)
        wait_s = FIRST_DELAY_S if served_s > _STEADY_S else self._delay_s
        self._delay_s = min(2 * wait_s, LONGEST_DELAY_S)
        return RestartDelay(wait_s=wait_s, explanation=reason)


class RestartingChild:
    """Runs a child process again and again, with back-off, until `stopping` is set.

    Args:
        name: of the child, for messages.
        run_once: runs the child from start to end; returns the reason of its end.
        on_down: called with that reason when the child will be restarted.
    """

    def __init__(
        self,
        name: str,
        run_once: Callable[[], Awaitable[str]],
        *,
        on_down: Callable[[str], None],
    ) -> None:
        self.stopping = asyncio.Event()
        self.restarts = 0
        self.is_starting = False  # set by `run_once` of a child that does not serve at once
        self._name = name
        self._run_once = run_once
        self._on_down = on_down

    async def run(self) -> None:
        """Return when `stopping` is set and the last run has ended."""
        backoff = RestartBackoff()
        while not self.stopping.is_set():
            began_ns = now_ns()
            try:
                reason = await self._run_once()
            except Exception as error:  # whatever a child does, the next one is started
                logger.exception("%s could not be served", self._name)
                reason = f"{self._name} could not be served: {error}"
            if self.stopping.is_set():
                break
            served_s = (now_ns() - began_ns) / NS_PER_S
            delay = backoff.after(reason, served_s=served_s, failed_to_start=self.is_starting)
            self._on_down(delay.explanation)
            logger.error("%s; it is started again in %.1f s", delay.explanation, delay.wait_s)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.stopping.wait(), delay.wait_s)
            self.restarts += 1


async def terminate(process: asyncio.subprocess.Process, *, patience_s: float = _EXIT_S) -> None:
    """Wait for a child to exit, then send SIGTERM, then SIGKILL.

    Call it when the child has been asked to stop, or its channel is closed.

    Args:
        patience_s: how long it may take to exit by itself.
    """
    for number, wait_s in ((None, patience_s), (signal.SIGTERM, _EXIT_S)):
        if number is not None and process.returncode is None:
            process.send_signal(number)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(process.wait(), wait_s)
            return
    process.kill()
    await process.wait()


def exit_reason(name: str, process: asyncio.subprocess.Process) -> str:
    """A sentence with the signal that ended the child, or its exit code."""
    code = process.returncode
    if code is not None and code < 0:
        return f"{name} was ended by {signal.Signals(-code).name}"
    return f"{name} has ended with exit code {code}"


@contextlib.asynccontextmanager
async def background(
    work: Coroutine[Any, Any, ResultT], *, name: str
) -> AsyncIterator[asyncio.Task[ResultT]]:
    """A task that runs while the block does, and is cancelled and awaited at its end."""
    task = asyncio.create_task(work, name=name)
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.wait((task,))

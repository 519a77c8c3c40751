"""An event loop whose time passes only while every task waits: nothing takes any, whatever it does.

So what a test sees of delays is what the code under test has asked for, on any machine.
"""

import asyncio
import selectors
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import Executor, Future
from contextlib import contextmanager
from typing import Any, TypeVar

import pytest
from slipstream_protocol.clock import NS_PER_S

Result = TypeVar("Result")
_START_S = 1000.0


class _ScriptedSelector(selectors.DefaultSelector):
    """Does not wait: a wait moves the clock on instead."""

    now_s = _START_S

    def select(self, timeout: float | None = None) -> Any:
        ready = super().select(0)
        if not ready:
            if timeout is None:
                raise AssertionError("every task waits, and none for a time: the test would hang")
            self.now_s += timeout
        return ready


class ScriptedLoop(asyncio.SelectorEventLoop):
    """The loop; `time` and the project's clock agree in it."""

    def __init__(self) -> None:
        self._scripted = _ScriptedSelector()
        super().__init__(self._scripted)

    def time(self) -> float:
        return self._scripted.now_s


class InlineExecutor(Executor):
    """Runs each job at once, in the caller's thread."""

    def submit(  # type: ignore[override]  # typed for the calls made here
        self, job: Callable[..., Result], /, *arguments: Any
    ) -> "Future[Result]":
        future: Future[Result] = Future()
        try:
            future.set_result(job(*arguments))
        except Exception as error:
            future.set_exception(error)
        return future


def run_scripted(main: Coroutine[Any, Any, Result], monkeypatch: pytest.MonkeyPatch) -> Result:
    """Run `main` to its end; `slipstream_protocol.clock.now_ns` follows the loop meanwhile."""
    loop = ScriptedLoop()
    with _clock_of(loop, monkeypatch), asyncio.Runner(loop_factory=lambda: loop) as runner:
        return runner.run(main)


@contextmanager
def _clock_of(loop: ScriptedLoop, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with monkeypatch.context() as patch:
        patch.setattr("time.monotonic_ns", lambda: round(loop.time() * NS_PER_S))
        yield

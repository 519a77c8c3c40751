"""The fixture that finds blocking calls finds them, and only where they do harm."""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import slipstream_server
from blockbuster import BlockingError


def server_function(body: str) -> Callable[[], None]:
    """A function that passes for one of the server's own."""
    file = Path(slipstream_server.__file__).with_name("made_up.py")
    scope: dict[str, Callable[[], None]] = {}
    exec(compile(f"import logging, time\ndef made_up():\n    {body}", file, "exec"), scope)
    return scope["made_up"]


SLEEP = server_function("time.sleep(0.001)")


async def test_a_blocking_call_is_found_though_it_is_caught(blocking_calls: list[str]) -> None:
    """the error says what was called, the finding says where."""
    with pytest.raises(BlockingError, match=r"time\.sleep"):
        SLEEP()
    (call,) = blocking_calls
    assert call.startswith("time.sleep below ")
    assert "made_up.py" in call
    blocking_calls.clear()  # or this test fails at its end


async def test_a_thread_may_wait(blocking_calls: list[str]) -> None:
    await asyncio.to_thread(SLEEP)
    assert blocking_calls == []


async def test_a_test_may_wait(blocking_calls: list[str]) -> None:
    time.sleep(0.001)  # noqa: ASYNC251
    assert blocking_calls == []


def test_without_an_event_loop_all_may_wait(blocking_calls: list[str]) -> None:
    SLEEP()
    assert blocking_calls == []


async def test_the_log_may_be_written(blocking_calls: list[str]) -> None:
    server_function("logging.getLogger('made up').error('this is logged')")()
    assert blocking_calls == []

"""The set-up of the server's process: event loop, thread switch interval."""

import asyncio
import sys
from collections.abc import Coroutine
from typing import Any

# A frame passes four threads; with Python's default of 5 ms each of them may delay it by that.
SWITCH_S = 0.0005


def run_process(work: Coroutine[Any, Any, None]) -> None:
    """Run `work` to its end in a new event loop."""
    sys.setswitchinterval(SWITCH_S)
    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(work)


def new_loop() -> asyncio.AbstractEventLoop:
    """uvloop's where it is installed: it halves the tail of the latency under load."""
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()

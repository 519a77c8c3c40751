"""The set-up of the server's process: event loop, thread switch interval, memory."""

import asyncio
import ctypes
import gc
import sys
from collections.abc import Coroutine
from typing import Any

# A frame passes four threads; with Python's default of 5 ms each of them may delay it by that.
SWITCH_S = 0.0005
# A call that has ended is a cycle of some 2,000 objects, which holds the memory of its codecs,
# 1.5 MiB at 640x480. By Python's default, 10, the cycles of 35 calls are kept.
OLD_GENERATION_AFTER = 0
# Each of glibc's arenas keeps for its threads what was freed in it, and by default a process has
# eight a core; with two, frames are allocated as fast.
ARENAS = 2
_M_ARENA_MAX = -8  # malloc.h


def run_process(work: Coroutine[Any, Any, None]) -> None:
    """Run `work` to its end in a new event loop."""
    sys.setswitchinterval(SWITCH_S)
    _limit_arenas()
    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(work)


def _limit_arenas() -> None:
    """Has to come before the first thread. Other C libraries than glibc have no arenas to limit."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_ARENA_MAX, ARENAS)


def new_loop() -> asyncio.AbstractEventLoop:
    """uvloop's where it is installed: it halves the tail of the latency under load."""
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()


def collect_calls_alone() -> None:
    """To be called once the server has started: from now on the garbage collector looks at what
    calls make, and soon after they have ended.

    All collections are on the event loop's thread. One that goes through what modules and the
    start have made, which is there to stay, takes a hundred times as long as one that does not.
    """
    gc.collect()
    gc.freeze()
    young, middle, _ = gc.get_threshold()
    gc.set_threshold(young, middle, OLD_GENERATION_AFTER)

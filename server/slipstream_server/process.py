"""The set-up of the server's process: logging, event loop, thread switch interval."""

import asyncio
import logging
import sys
from collections.abc import Coroutine
from typing import Any

from slipstream_server.sessions.opener import session_id

# A frame passes four threads; with Python's default of 5 ms each of them may delay it by that.
SWITCH_S = 0.0005


class _SessionFilter(logging.Filter):
    """Puts the session's id into every record."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.session = session_id.get()
        return True


def set_up_logging(level: str) -> None:
    """Log the server at `level`, libraries from warnings on, and the engine's lines unchanged."""
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(_SessionFilter())
    handler.setFormatter(
        logging.Formatter("%(asctime)s server %(levelname)s [%(session)s] %(name)s: %(message)s")
    )
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
    logging.getLogger("slipstream_server").setLevel(level.upper())
    relayed = logging.StreamHandler(sys.stderr)
    relayed.setFormatter(logging.Formatter("%(message)s"))
    engine = logging.getLogger("slipstream_engine")
    engine.addHandler(relayed)
    engine.propagate = False
    engine.setLevel(level.upper())


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

"""The server's event loop never waits for a disk, a lock, a socket or another process."""

import traceback
from collections.abc import Iterator
from pathlib import Path

import pytest
import slipstream_server
from blockbuster import BlockingError, blockbuster_ctx

# the end of a file's path, a function in it, and why blocking calls below it are no fault
ALLOWED = (
    ("logging/__init__.py", "emit", "lines of the log go to the standard error stream"),
    ("prometheus_client/process_collector.py", "collect", "/proc is memory, not a disk"),
    ("aiortc/rtcrtpreceiver.py", "__stop_decoder", "aiortc waits for one frame to be decoded"),
    ("slipstream_server/app.py", "make_app", "runs before the first request"),
    ("slipstream_server/http/static.py", "web_root", "runs before the first request"),
    ("slipstream_server/http/certificates.py", "self_signed", "runs before the first request"),
    (
        "slipstream_server/rtp/aiortc_internals.py",
        "get_private",
        "reads a version for an error's text",
    ),
)
PACKAGE = str(Path(slipstream_server.__file__).parent)


@pytest.fixture(autouse=True)
def blocking_calls(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """What the server's own code has called on an event loop and may have waited in.

    Each such call raises `BlockingError` where it is made, and fails the test at its end, since
    much of the server survives errors on purpose.
    """
    found: list[str] = []

    class RecordedBlockingError(BlockingError):
        def __init__(self, function: str) -> None:
            super().__init__(function)
            callers = [f for f in traceback.extract_stack() if f.filename.startswith(PACKAGE)]
            found.append(f"{function} below " + "".join(traceback.format_list(callers[-3:])))

    monkeypatch.setattr("blockbuster.blockbuster.BlockingError", RecordedBlockingError)
    with blockbuster_ctx(slipstream_server) as detector:
        for function in detector.functions.values():
            for file, name, _ in ALLOWED:
                function.can_block_in(file, name)
        yield found
    assert not found, "\n".join(found)

"""The log of this process on its standard error, written by a thread."""

import contextlib
import io
import logging
import sys
from collections.abc import Callable, Iterator

from slipstream_server.logs.formats import ENGINE_LOGGER, JsonFormat, TextFormat
from slipstream_server.logs.writer import LineWriter

FLUSH_S = 1.0  # at the end, for a reader that reads slowly
_STDERR_LOGGER = "stderr"


class LogHandler(logging.Handler):
    """Formats records where they are made, and has a thread write them.

    Args:
        descriptor: to write to.
        session_id: of the session on whose behalf the caller acts.
    """

    def __init__(self, descriptor: int, form: str, session_id: Callable[[], str]) -> None:
        super().__init__()
        self.setFormatter(JsonFormat() if form == "json" else TextFormat())
        self._session_id = session_id
        self.writer = LineWriter(descriptor, report=self._dropped, name="log")

    def emit(self, record: logging.LogRecord) -> None:
        record.session = self._session_id()
        try:
            line = self._line(record)
        except (TypeError, ValueError, LookupError) as error:  # arguments that do not fit
            record.msg, record.args = f"{record.msg!r} cannot be formatted: {error}", None
            line = self._line(record)
        self.writer.write(line)

    def flush(self) -> None:
        """Nothing: it would wait for the reader."""

    def _line(self, record: logging.LogRecord) -> bytes:
        return (self.format(record) + "\n").encode(errors="backslashreplace")

    def _dropped(self, lines: int) -> bytes:
        text = "%s lines of the log were dropped: it was not read, or could not be written"
        record = logging.LogRecord(
            __name__, logging.WARNING, __file__, 0, text, (lines,), None, "_dropped"
        )
        record.session = "-"
        return self._line(record)


class _StderrAsLog(io.TextIOBase):
    """What is printed to standard error: warnings, errors in threads and in destructors."""

    def __init__(self) -> None:
        super().__init__()
        self._rest = ""

    def write(self, text: str) -> int:
        *lines, self._rest = (self._rest + text).split("\n")
        for line in filter(str.strip, lines):
            logging.getLogger(_STDERR_LOGGER).warning("%s", line)
        return len(text)


@contextlib.contextmanager
def logging_to_stderr(level: str, *, form: str, session_id: Callable[[], str]) -> Iterator[None]:
    """Log while the block runs: the server and the engine's lines at `level`, libraries from
    warnings on. At the end what waits is written, for `FLUSH_S` at most.

    Args:
        form: `text` or `json`.
        session_id: of the session on whose behalf the caller acts.
    """
    root = logging.getLogger()
    root.setLevel(logging.WARNING)
    if sys.stderr is None:  # closed when the process began: its number may be another file's
        root.addHandler(logging.NullHandler())
        yield
        return
    handler = LogHandler(sys.stderr.fileno(), form, session_id)
    root.addHandler(handler)
    for name in ("slipstream_server", ENGINE_LOGGER):
        logging.getLogger(name).setLevel(level.upper())
    with contextlib.redirect_stderr(_StderrAsLog()):
        try:
            yield
        finally:
            root.removeHandler(handler)
            handler.writer.close(deadline_s=FLUSH_S)


def dropped_log_lines() -> int:
    """Lines of this process' log that were not written."""
    handlers = logging.getLogger().handlers
    return sum(one.writer.dropped_lines for one in handlers if isinstance(one, LogHandler))


def announce(text: str) -> None:
    """Print to standard output what a person waits for, without waiting for a reader."""
    if sys.stdout is None:
        return
    writer = LineWriter(sys.stdout.fileno(), report=lambda lines: b"", name="announcement")
    writer.write((text + "\n").encode(errors="backslashreplace"))
    writer.close(deadline_s=0)

"""Writes lines to a descriptor in a thread of its own, so that its reader keeps nobody waiting."""

import os
import select
import threading
from collections.abc import Callable

from slipstream_server.logs.line_buffer import LineBuffer

_WAITING_MAX_BYTES = 1 << 20  # some minutes of a busy server's log
_PIECE_BYTES = 1 << 16
_RETRY_S = 1.0  # a full disk may have room again


class LineWriter:
    """Takes lines from any thread, and never blocks it.

    A reader that does not read (a pipe that is full, a stopped terminal) costs lines, which are
    counted, and reported to it when it reads again. One that is gone costs all of them.

    Args:
        descriptor: to write to; stays the caller's.
        report: makes the line that says how many were dropped.
        name: of the thread.
    """

    def __init__(self, descriptor: int, *, report: Callable[[int], bytes], name: str) -> None:
        self._descriptor = descriptor
        self._report = report
        self._buffer = LineBuffer(_WAITING_MAX_BYTES)
        self._changed = threading.Condition()
        self._is_closing = False
        # a daemon: one that waits for its reader must not keep the process from ending
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    @property
    def dropped_lines(self) -> int:
        return self._buffer.dropped

    def write(self, line: bytes) -> None:
        """Write a line, which ends in a line feed, soon."""
        with self._changed:
            self._buffer.put(line)
            self._changed.notify()

    def close(self, *, deadline_s: float) -> None:
        """Write what waits, for so long at most; lines that come later are still taken."""
        with self._changed:
            self._is_closing = True
            self._changed.notify()
        self._thread.join(deadline_s)

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: len(self._buffer) or self._is_closing)
                piece, lines = self._buffer.take(_PIECE_BYTES)
                if not lines:
                    return
            is_written = self._write_all(piece)
            with self._changed:
                if not is_written:
                    self._buffer.drop(lines)
                elif dropped := self._buffer.take_report():
                    self._buffer.put(self._report(dropped))

    def _write_all(self, piece: bytes) -> bool:
        """Write a piece, however long that takes; False if it cannot be written."""
        left = memoryview(piece)
        while left:
            try:
                left = left[os.write(self._descriptor, left) :]
            except BlockingIOError:  # whoever opened it has made it so
                select.select([], [self._descriptor], [], _RETRY_S)
            except OSError:  # nobody reads any more, or the disk is full
                return False
        return True

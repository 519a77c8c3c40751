"""What the engine prints, cut into lines, within bounds on their length and number. Pure.

A model that prints at every step, or a tensor on one line, must cost the server no more than a
glance: all of it is read, so that the engine never waits, and what is too much is counted.
"""

import codecs
from collections import deque
from dataclasses import dataclass

from slipstream_server.logs.formats import INFO, WARNING, parse_engine_line
from slipstream_server.token_bucket import TokenBucket

LINE_MAX_CHARS = 2000
_LINES_PER_S = 50.0
_LINES_BURST = 500  # a traceback, and what came before it
_LAST_LINES = 30


@dataclass(frozen=True, slots=True)
class OutputLine:
    """A line to be logged, at a level of Python's logging."""

    level: int
    text: str


class EngineOutput:
    """Bytes in, lines for the log out. Times are arguments, in ns."""

    def __init__(self) -> None:
        self.last: deque[str] = deque(maxlen=_LAST_LINES)  # also of those that are not logged
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._rest = ""
        self._is_cut = False  # the rest of a line that was too long is skipped
        self._level = INFO
        self._budget = TokenBucket(rate_per_s=_LINES_PER_S, burst=_LINES_BURST)
        self._dropped = 0

    def feed(self, data: bytes, now_ns: int) -> list[OutputLine]:
        """The lines that are whole now."""
        text = self._rest + self._decoder.decode(data).replace("\r", "\n")
        *lines, self._rest = text.split("\n")
        found: list[OutputLine] = []
        for line in lines:
            found += self._whole(line, now_ns)
            self._is_cut = False
        if len(self._rest) > LINE_MAX_CHARS:
            found += self._whole(self._rest, now_ns)
            self._rest, self._is_cut = "", True
        return found

    def end(self, now_ns: int) -> list[OutputLine]:
        """What is left when the engine has ended."""
        line, self._rest = self._rest, ""
        return self._whole(line, now_ns)

    def _whole(self, line: str, now_ns: int) -> list[OutputLine]:
        if not line.strip() or self._is_cut:
            return []
        if len(line) > LINE_MAX_CHARS:
            line = line[:LINE_MAX_CHARS] + " ... (the rest of this line is left out)"
        self.last.append(line)
        level = parse_engine_line(line).level
        if level is not None:
            self._level = level  # of the lines of a traceback too
        if not self._budget.take(1, now_ns):
            self._dropped += 1
            return []
        dropped, self._dropped = self._dropped, 0
        note = f"{dropped} lines of the engine are left out: it prints more than {_LINES_PER_S:g} "
        before = [OutputLine(WARNING, note + "a second")] if dropped else []
        return [*before, OutputLine(self._level, line)]

"""The lines that wait to be written, up to a bound; those beyond it are counted. Pure."""

from collections import deque


class LineBuffer:
    """Lines in, in order; out as one piece.

    The newest lines are dropped, not the oldest: what led to a trouble says more than its
    thousandth repetition.

    Args:
        capacity_bytes: the most that waits.

    Raises:
        ValueError: if that is less than 1.
    """

    def __init__(self, capacity_bytes: int) -> None:
        if capacity_bytes < 1:
            raise ValueError(f"capacity is {capacity_bytes} bytes, it must be at least 1")
        self.dropped = 0
        self._capacity_bytes = capacity_bytes
        self._lines: deque[bytes] = deque()
        self._waiting_bytes = 0
        self._not_reported = 0

    def __len__(self) -> int:
        return len(self._lines)

    def put(self, line: bytes) -> bool:
        """Add a line with its end; returns whether there was room."""
        if self._waiting_bytes + len(line) > self._capacity_bytes:
            self.drop(1)
            return False
        self._lines.append(line)
        self._waiting_bytes += len(line)
        return True

    def drop(self, lines: int) -> None:
        """Count lines that are lost in another way."""
        self.dropped += lines
        self._not_reported += lines

    def take(self, most_bytes: int) -> tuple[bytes, int]:
        """The next lines, as one piece of so many bytes at most, but at least one line; and how
        many lines that is."""
        taken: list[bytes] = []
        size_bytes = 0
        while self._lines and (not taken or size_bytes + len(self._lines[0]) <= most_bytes):
            line = self._lines.popleft()
            size_bytes += len(line)
            taken.append(line)
        self._waiting_bytes -= size_bytes
        return b"".join(taken), len(taken)

    def take_report(self) -> int:
        """How many lines were dropped since the last report, once all others are taken; else 0."""
        if self._lines:
            return 0
        reported, self._not_reported = self._not_reported, 0
        return reported

"""What was seen in the last ten seconds. Pure: times are arguments."""

from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

from slipstream_protocol.clock import NS_PER_S

WINDOW_NS = 10 * NS_PER_S

Row = TypeVar("Row")


class SlidingWindow(Generic[Row]):
    """The rows of the last `WINDOW_NS`."""

    def __init__(self) -> None:
        self._rows: deque[tuple[int, Row]] = deque()

    def __len__(self) -> int:
        return len(self._rows)

    def add(self, now_ns: int, row: Row) -> None:
        self._rows.append((now_ns, row))

    def trim(self, now_ns: int) -> None:
        while self._rows and self._rows[0][0] < now_ns - WINDOW_NS:
            self._rows.popleft()

    def values(self, of: Callable[[Row], float]) -> list[float]:
        return [of(row) for _, row in self._rows]

    def mean(self, of: Callable[[Row], float]) -> float:
        return sum(self.values(of)) / len(self._rows)

    def rate_hz(self, now_ns: int, since_ns: int) -> float:
        """Rows a second, over the window or over the time since the start where that is shorter."""
        span_ns = min(WINDOW_NS, now_ns - since_ns)
        return len(self._rows) * NS_PER_S / span_ns if span_ns > 0 else 0.0

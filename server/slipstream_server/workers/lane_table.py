"""Which worker process a lane of the engine belongs to, and what may pass between them.

Every worker has lanes of its own for as long as an engine lives: lane i is worker i mod n's. So a
worker can number its streams by itself, as if the engine were its own, and none can speak of
another's. What a worker that has died leaves behind is closed here; its successor comes in once the
engine has said that all of it is gone.
"""

from enum import Enum, auto

from slipstream_protocol.messages import (
    CloseStream,
    OpenStream,
    Stop,
    StreamClosed,
    StreamRefused,
    ToEngine,
    ToServer,
)


class LaneViolation(Exception):
    """A worker has said what it may not; the text is for the log."""


class _Lane(Enum):
    FREE = auto()
    OPEN = auto()  # or asked to be
    CLOSING = auto()  # by its worker
    ABANDONED = auto()  # closed here, since its worker is gone


class LaneTable:
    """Lanes of one engine's life, spread over workers.

    Args:
        lanes: that the engine has.
        workers: how many there are; they are numbered from 0.
    """

    def __init__(self, lanes: int, workers: int) -> None:
        self._workers = workers
        self._lanes = [_Lane.FREE] * lanes

    def lanes_of(self, worker: int) -> tuple[int, ...]:
        """A worker's own; later workers may have one less, or none."""
        return tuple(range(worker, len(self._lanes), self._workers))

    def is_clear(self, worker: int) -> bool:
        """Whether nothing of an earlier life of the worker is left at the engine."""
        return all(self._lanes[lane] is not _Lane.ABANDONED for lane in self.lanes_of(worker))

    def from_worker(self, worker: int, message: ToEngine) -> bool:
        """Take note of what a worker says; whether it is to be passed on to the engine.

        Raises:
            Breach: if it speaks of a lane that is not its own, opens one that is not free, or would
                stop the engine.
        """
        if isinstance(message, Stop):
            raise LaneViolation("it would stop the engine, which is not its own")
        lane = message.lane
        if lane not in self.lanes_of(worker):
            raise LaneViolation(f"it speaks of lane {lane}, its own are {self.lanes_of(worker)}")
        state = self._lanes[lane]
        if isinstance(message, OpenStream):
            if state is not _Lane.FREE:
                raise LaneViolation(f"it opens lane {lane}, which is {state.name.lower()}")
            self._lanes[lane] = _Lane.OPEN
        elif isinstance(message, CloseStream) and state is _Lane.OPEN:
            self._lanes[lane] = _Lane.CLOSING
        elif state is _Lane.FREE or isinstance(message, CloseStream):
            return False  # it has crossed the engine's own word of the end
        return True

    def from_engine(self, message: ToServer) -> int | None:
        """Take note of what the engine says; the worker it is for, or None."""
        lane: int = getattr(message, "lane", -1)
        if not 0 <= lane < len(self._lanes):
            return None
        state = self._lanes[lane]
        if isinstance(message, StreamClosed) or (
            isinstance(message, StreamRefused) and state is _Lane.OPEN
        ):
            self._lanes[lane] = _Lane.FREE
        return None if state in (_Lane.FREE, _Lane.ABANDONED) else lane % self._workers

    def hang_up(self, worker: int) -> list[CloseStream]:
        """A worker is gone: what the engine is to be told."""
        closes = []
        for lane in self.lanes_of(worker):
            if self._lanes[lane] is _Lane.OPEN:
                closes.append(CloseStream(lane=lane))
            if self._lanes[lane] is not _Lane.FREE:
                self._lanes[lane] = _Lane.ABANDONED
        return closes

"""Which worker process each lane of the engine belongs to, and which messages may pass. Pure.

Every worker owns certain lanes for as long as an engine process lives: lane i belongs to worker
i mod n of n. So a worker numbers its streams by itself, as if the engine were its own, and no
worker can send messages about another's streams. The streams of a worker that has died are closed
here; its successor is connected once the engine has confirmed that all of them are closed.
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
    """A worker has sent a message that it may not send; the text is for the log."""


class _Lane(Enum):
    FREE = auto()
    OPEN = auto()  # or about to be: `OpenStream` was sent
    CLOSING = auto()  # its worker has sent `CloseStream`
    ABANDONED = auto()  # closed here, as its worker has died


class LaneTable:
    """The lanes of one engine process, spread over workers.

    Args:
        lanes: how many the engine has.
        workers: how many there are; they are numbered from 0.
    """

    def __init__(self, lanes: int, workers: int) -> None:
        self._workers = workers
        self._lanes = [_Lane.FREE] * lanes

    def lanes_of(self, worker: int) -> tuple[int, ...]:
        """The lanes a worker owns; later workers may have one less, or none."""
        return tuple(range(worker, len(self._lanes), self._workers))

    def is_clear(self, worker: int) -> bool:
        """Whether the engine has closed every stream of the worker's dead predecessor."""
        return all(self._lanes[lane] is not _Lane.ABANDONED for lane in self.lanes_of(worker))

    def on_worker_message(self, worker: int, message: ToEngine) -> bool:
        """Record a worker's message; returns whether to pass it on to the engine.

        Raises:
            LaneViolation: if it is about a lane that the worker does not own, opens one that is not
                free, or would stop the engine.
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
            return False  # it has crossed the engine's message that the stream has ended
        return True

    def on_engine_message(self, message: ToServer) -> int | None:
        """Record a message of the engine; returns the worker to pass it on to, if any."""
        lane: int = getattr(message, "lane", -1)
        if not 0 <= lane < len(self._lanes):
            return None
        state = self._lanes[lane]
        if isinstance(message, StreamClosed) or (
            isinstance(message, StreamRefused) and state is _Lane.OPEN
        ):
            self._lanes[lane] = _Lane.FREE
        return None if state in (_Lane.FREE, _Lane.ABANDONED) else lane % self._workers

    def abandon(self, worker: int) -> list[CloseStream]:
        """A worker has died: mark its lanes; returns the messages to send to the engine."""
        closes = []
        for lane in self.lanes_of(worker):
            if self._lanes[lane] is _Lane.OPEN:
                closes.append(CloseStream(lane=lane))
            if self._lanes[lane] is not _Lane.FREE:
                self._lanes[lane] = _Lane.ABANDONED
        return closes

"""Who is on which worker process, and where the next call goes. Pure."""

import contextlib
from collections import Counter
from collections.abc import Collection, Iterator, Mapping

from slipstream_server.errors import streams_full, subscribers_full
from slipstream_server.workers.protocol import WorkerStatus

_RETRY_S = 10.0


class WorkerPlacement:
    """The calls of all workers: what each has told last, and who is on the way to it.

    A call counts from the moment it is sent to a worker, so that many at the same time are spread,
    and so that the last place is given once. Whoever sends it there holds `camera_arriving` or
    `viewer_arriving` until the worker's next census is in.

    Args:
        max_viewers: watchers at the same time, on all workers.
    """

    def __init__(self, *, max_viewers: int) -> None:
        self._max_viewers = max_viewers
        self._told: dict[int, WorkerStatus] = {}
        self._cameras: Counter[int] = Counter()  # on the way, by worker
        self._viewers: Counter[int] = Counter()
        self._names: dict[str, int] = {}  # of streams on the way

    def tell(self, worker: int, census: WorkerStatus) -> None:
        """What a worker says now."""
        self._told[worker] = census

    def lose(self, worker: int) -> int:
        """A worker is gone; how many calls went with it."""
        census = self._told.pop(worker, WorkerStatus())
        return census.cameras + census.viewers

    def count(self) -> dict[str, int]:
        """Calls now, by kind; `held` are streams whose viewers may come back."""
        told = self._told.values()
        return {
            "stream": sum(census.cameras for census in told),
            "viewer": sum(census.viewers for census in told),
            "held": sum(census.held for census in told),
        }

    def worker_of(self, stream: str | None) -> int | None:
        """The worker that has this stream, or is just being sent it; the newest one's if None."""
        if stream in self._names:
            return self._names[stream]
        having = [
            (told.since_ns, worker)
            for worker, census in self._told.items()
            for told in census.streams
            if stream in (None, told.name)
        ]
        return max(having)[1] if having else None

    def roomiest(self, lanes: Mapping[int, int], quick: Collection[int]) -> int:
        """The worker for the next camera: with a lane to spare, and then with the fewest calls.

        A stream that waits for its viewer to come back makes room where no lane is free.

        Args:
            lanes: how many each worker that is up has; at least one worker.
            quick: those that answer at once; of the others, it may be that they hang.

        Raises:
            ServerFull: if no lane is free or held, on any of them.
        """

        def burden(worker: int) -> tuple[bool, bool, bool, int, int]:
            census = self._told.get(worker, WorkerStatus())
            spare = lanes[worker] - len(census.streams) - self._cameras[worker]
            calls = census.cameras + self._cameras[worker] + census.viewers + self._viewers[worker]
            full = spare + census.held <= 0
            return full, worker not in quick, spare <= 0, calls, worker

        roomiest = min(lanes, key=burden)
        if burden(roomiest)[0]:
            raise streams_full(sum(lanes.values()), retry_after_s=_RETRY_S)
        return roomiest

    @contextlib.contextmanager
    def camera_arriving(self, worker: int, *, stream: str | None = None) -> Iterator[None]:
        """A caller with a camera is on the way to this worker.

        Args:
            stream: the name it wants, if any: a second one who wants it goes to the same worker,
                which takes one of them.
        """
        first = stream is not None and stream not in self._names
        if stream is not None and first:
            self._names[stream] = worker
        self._cameras[worker] += 1
        try:
            yield
        finally:
            self._cameras[worker] -= 1
            if stream is not None and first:
                del self._names[stream]

    @contextlib.contextmanager
    def viewer_arriving(self, worker: int) -> Iterator[None]:
        """One who only watches is on the way to this worker.

        Raises:
            ServerFull: if as many watch as may.
        """
        if self.count()["viewer"] + self._viewers.total() >= self._max_viewers:
            raise subscribers_full(self._max_viewers, retry_after_s=_RETRY_S)
        self._viewers[worker] += 1
        try:
            yield
        finally:
            self._viewers[worker] -= 1

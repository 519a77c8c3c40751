"""Which worker process has which calls, and which one the next call goes to. Pure."""

import contextlib
from collections import Counter
from collections.abc import Collection, Iterator, Mapping

from slipstream_server.errors import streams_full, subscribers_full
from slipstream_server.workers.protocol import WorkerStatus

_RETRY_S = 10.0


class WorkerPlacement:
    """The calls of all workers: the last status of each, and the calls being sent to it.

    A call counts from the moment it is sent to a worker, so that calls that come at the same time
    are spread, and no lane is given away twice. Whoever sends one holds `camera_arriving` or
    `viewer_arriving` until the worker's next status has arrived.

    Args:
        max_viewers: the most viewers at a time, on all workers together.
    """

    def __init__(self, *, max_viewers: int) -> None:
        self._max_viewers = max_viewers
        self._statuses: dict[int, WorkerStatus] = {}
        self._arriving_cameras: Counter[int] = Counter()  # by worker
        self._arriving_viewers: Counter[int] = Counter()
        self._arriving_streams: dict[str, int] = {}  # the worker of each name

    def update_status(self, worker: int, status: WorkerStatus) -> None:
        """Take over a worker's new status."""
        self._statuses[worker] = status

    def remove(self, worker: int) -> int:
        """Forget a worker that is down; returns how many calls it had."""
        status = self._statuses.pop(worker, WorkerStatus())
        return status.cameras + status.viewers

    def count(self) -> dict[str, int]:
        """Calls now, by kind; `held` are streams whose publisher may come back."""
        statuses = self._statuses.values()
        return {
            "stream": sum(status.cameras for status in statuses),
            "viewer": sum(status.viewers for status in statuses),
            "held": sum(status.held for status in statuses),
        }

    def worker_of(self, stream: str | None) -> int | None:
        """The worker that has this stream, or is being sent its publisher; None if none has.

        Args:
            stream: its name; None for the newest stream.
        """
        if stream in self._arriving_streams:
            return self._arriving_streams[stream]
        found = [
            (summary.since_ns, worker)
            for worker, status in self._statuses.items()
            for summary in status.streams
            if stream in (None, summary.name)
        ]
        return max(found)[1] if found else None

    def worker_for_camera(self, lanes: Mapping[int, int], responsive: Collection[int]) -> int:
        """The worker for the next camera.

        Of the workers with room, those that are responsive are preferred, then those with a free
        lane to those that would have to end a held stream, then the one with the fewest calls.

        Args:
            lanes: how many each worker that is up has; at least one worker.
            responsive: workers that answer at once; the others may be hanging.

        Raises:
            ServerFull: if no worker has a free lane or a held stream.
        """
        free_lanes = {worker: self._free_lanes(worker, lanes[worker]) for worker in lanes}
        with_room = [worker for worker in lanes if free_lanes[worker] + self._held(worker) > 0]
        if not with_room:
            raise streams_full(sum(lanes.values()), retry_after_s=_RETRY_S)
        preferred = [worker for worker in with_room if worker in responsive] or with_room
        preferred = [worker for worker in preferred if free_lanes[worker] > 0] or preferred
        return min(preferred, key=lambda worker: (self._calls(worker), worker))

    @contextlib.contextmanager
    def camera_arriving(self, worker: int, *, stream: str | None = None) -> Iterator[None]:
        """Count a camera that is being sent to this worker.

        Args:
            stream: the name it asks for, if any: a second camera that asks for it is sent to the
                same worker, which accepts one of them.
        """
        is_first = stream is not None and stream not in self._arriving_streams
        if stream is not None and is_first:
            self._arriving_streams[stream] = worker
        self._arriving_cameras[worker] += 1
        try:
            yield
        finally:
            self._arriving_cameras[worker] -= 1
            if stream is not None and is_first:
                del self._arriving_streams[stream]

    @contextlib.contextmanager
    def viewer_arriving(self, worker: int) -> Iterator[None]:
        """Count a viewer that is being sent to this worker.

        Raises:
            ServerFull: if `max_viewers` are watching.
        """
        if self.count()["viewer"] + self._arriving_viewers.total() >= self._max_viewers:
            raise subscribers_full(self._max_viewers, retry_after_s=_RETRY_S)
        self._arriving_viewers[worker] += 1
        try:
            yield
        finally:
            self._arriving_viewers[worker] -= 1

    def _status(self, worker: int) -> WorkerStatus:
        return self._statuses.get(worker, WorkerStatus())

    def _held(self, worker: int) -> int:
        return self._status(worker).held

    def _free_lanes(self, worker: int, lanes: int) -> int:
        """Lanes without a stream; below 0 where cameras on their way will end held streams."""
        return lanes - len(self._status(worker).streams) - self._arriving_cameras[worker]

    def _calls(self, worker: int) -> int:
        """Calls of both kinds, with those on their way."""
        status = self._status(worker)
        arriving = self._arriving_cameras[worker] + self._arriving_viewers[worker]
        return status.cameras + status.viewers + arriving

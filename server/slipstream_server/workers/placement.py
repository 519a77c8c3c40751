"""Which worker process has which calls, and which one the next call goes to. Pure."""

import contextlib
from collections import Counter
from collections.abc import Collection, Iterator, Mapping

from slipstream_server.errors import streams_full, subscribers_full
from slipstream_server.observability.metrics import CallCounts
from slipstream_server.workers.protocol import WorkerStatus

_RETRY_S = 10.0


class WorkerPlacement:
    """The calls of all workers: the last status of each, and the calls being sent to it.

    A call counts from the moment it is sent to a worker, so that calls that come at the same time
    are spread, and no lane is given away twice: send it within `publisher_arriving` or
    `subscriber_arriving`, and leave that once the worker's next status has arrived.

    Args:
        max_subscribers: the most subscribers at a time, on all workers together.
    """

    def __init__(self, *, max_subscribers: int) -> None:
        self._max_subscribers = max_subscribers
        self._statuses: dict[int, WorkerStatus] = {}
        self._arriving_publishers: Counter[int] = Counter()  # by worker
        self._arriving_subscribers: Counter[int] = Counter()
        self._arriving_streams: dict[str, int] = {}  # the worker of each name

    def update_status(self, worker: int, status: WorkerStatus) -> None:
        """Take over a worker's new status."""
        self._statuses[worker] = status

    def remove(self, worker: int) -> int:
        """Forget a worker that is down; returns how many calls it had."""
        status = self._statuses.pop(worker, WorkerStatus())
        return status.publishers + status.subscribers

    def count(self) -> CallCounts:
        """The calls of all workers and their held streams, by their last statuses."""
        statuses = self._statuses.values()
        return CallCounts(
            publishers=sum(status.publishers for status in statuses),
            subscribers=sum(status.subscribers for status in statuses),
            held=sum(status.held for status in statuses),
        )

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

    def worker_for_publisher(self, lanes: Mapping[int, int], responsive: Collection[int]) -> int:
        """The worker for the next publisher.

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
    def publisher_arriving(self, worker: int, *, stream: str | None = None) -> Iterator[None]:
        """Count a publisher that is being sent to this worker.

        Args:
            stream: the name it requests, if any: a second publisher that requests it is sent to
                the same worker, which accepts one of them.
        """
        is_first = stream is not None and stream not in self._arriving_streams
        if stream is not None and is_first:
            self._arriving_streams[stream] = worker
        self._arriving_publishers[worker] += 1
        try:
            yield
        finally:
            self._arriving_publishers[worker] -= 1
            if stream is not None and is_first:
                del self._arriving_streams[stream]

    @contextlib.contextmanager
    def subscriber_arriving(self, worker: int) -> Iterator[None]:
        """Count a subscriber that is being sent to this worker.

        Raises:
            ServerFull: if `max_subscribers` are watching.
        """
        if self.count().subscribers + self._arriving_subscribers.total() >= self._max_subscribers:
            raise subscribers_full(self._max_subscribers, retry_after_s=_RETRY_S)
        self._arriving_subscribers[worker] += 1
        try:
            yield
        finally:
            self._arriving_subscribers[worker] -= 1

    def _status(self, worker: int) -> WorkerStatus:
        return self._statuses.get(worker, WorkerStatus())

    def _held(self, worker: int) -> int:
        return self._status(worker).held

    def _free_lanes(self, worker: int, lanes: int) -> int:
        """Lanes without a stream; below 0 where publishers on their way will end held streams."""
        return lanes - len(self._status(worker).streams) - self._arriving_publishers[worker]

    def _calls(self, worker: int) -> int:
        """Calls of both kinds, with those on their way."""
        status = self._status(worker)
        arriving = self._arriving_publishers[worker] + self._arriving_subscribers[worker]
        return status.publishers + status.subscribers + arriving

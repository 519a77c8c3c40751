"""How full an engine is by what its streams send now; what they may send is `promises.py`. Pure."""

from collections import Counter

from slipstream_engine.scheduling.backlog import Backlog
from slipstream_engine.scheduling.deadline_check import Forecast
from slipstream_engine.scheduling.types import Stage, StagePlan

_STEP = Stage.DENOISE
_SATURATED_LOAD = 0.8  # share of the device that running chunk after chunk would take
_GAINS_NOTHING = 0.02  # share by which the busiest rank must become faster by sharing passes
_SILENT_GAPS = 4  # gaps without a chunk after which a stream shares passes with nobody


class Capacity:
    """The load of the ranks by what streams send and what passes take.

    Args:
        backlog: the streams and their chunks.
        forecast: of the times of passes.
        max_batch: most micro-steps in one pass.
    """

    def __init__(self, backlog: Backlog, forecast: Forecast, *, max_batch: int) -> None:
        self._backlog = backlog
        self._forecast = forecast
        self._max_batch = max_batch
        self._enough: dict[tuple[StagePlan, int], int] = {}  # where passes hold one chunk

    def is_saturated(self, now_ns: int) -> bool:
        """Whether chunk after chunk, each step alone, would (nearly) fill the device."""
        load = 0.0
        for queue in self._backlog.queues.values():
            if queue.shape:
                gap_ns = max(queue.gap_ns, queue.silent_ns(now_ns))
                load += self._forecast.shared_ns(self._backlog.plan(queue.shape), 1) / gap_ns
        return load >= _SATURATED_LOAD

    def is_full(self, plan: StagePlan, in_flight: int) -> bool:
        """Whether another chunk of this plan would only queue up between ranks.

        On one rank chunks wait for nothing but their own passes.
        """
        if self._backlog.placement.ranks == 1:
            return False
        streams = sum(queue.shape is not None for queue in self._backlog.queues.values())
        if self._max_batch > 1:
            return in_flight >= self._enough_chunks(plan, streams)
        if (enough := self._enough.get((plan, streams))) is None:  # whatever passes take
            enough = self._enough[plan, streams] = self._enough_chunks(plan, streams)
        return in_flight >= enough

    def _enough_chunks(self, plan: StagePlan, streams: int) -> int:
        """How many in flight keep every rank busy.

        As many as a pass holds for each rank of its path, one for each rank of the codec alone, and
        one more for each step that comes to the same rank: that rank should find one waiting
        whichever of them is next. Where passes are shared a chunk's steps come together, so that is
        two more, as passes are not all of one size. They need not be where the busiest rank gains
        nothing by it, such as one that only decodes.
        """
        placement = self._backlog.placement
        entered = Counter(kind.path for kind in plan.kinds if kind.stage is _STEP and not kind.hop)
        items = {path: min(streams * steps, self._max_batch) for path, steps in entered.items()}
        fullest = max(items.values(), default=1)
        if fullest > 1:
            alone_ns = max(self._forecast.rank_ns(plan, 1))
            if alone_ns <= max(self._forecast.rank_ns(plan, fullest)) * (1 + _GAINS_NOTHING):
                items, fullest = dict.fromkeys(entered, 1), 1
        stepping = sum(len(placement.paths[path]) * count for path, count in items.items())
        busy = {rank for path in entered for rank in placement.paths[path]}
        codec_alone = {placement.encode_rank, placement.decode_rank} - busy
        return (
            stepping + len(codec_alone) + (2 if fullest > 1 else max(entered.values(), default=1))
        )

    def others_are_sending(self, stream: int, now_ns: int) -> bool:
        """Whether any other stream has sent a chunk within its last few gaps."""
        return any(
            queue.shape and queue.silent_ns(now_ns) < _SILENT_GAPS * queue.gap_ns
            for number, queue in self._backlog.queues.items()
            if number != stream
        )

"""How long chunks still take by the latency model, and whether they will be in time. Pure."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import msgspec

from slipstream_engine.scheduling.latency_model import LatencyModel
from slipstream_engine.scheduling.queues import QueuedChunk
from slipstream_engine.scheduling.types import PassKind, Stage, StagePlan

_TRUSTED_SAMPLES = 3


class RemainingTime(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The time a chunk still takes from one of its stages on.

    Args:
        mean_ns: if each of its passes is run for it alone.
        variance_ns2: of that time; the noise of passes is taken to be independent.
        cautious_ns: `mean_ns` and as many standard deviations as the forecast is cautious.
        shareable_ns: the part of `mean_ns` that all members of a pass pay only once.
    """

    mean_ns: float
    variance_ns2: float
    cautious_ns: float
    shareable_ns: float


@dataclass(slots=True)
class _StageTime:
    """What a pass of one chunk alone takes at a position.

    Args:
        shareable_ns: the part of it that all members of a pass pay only once.
    """

    alone_ns: float
    variance_ns2: float
    shareable_ns: float
    is_known: bool


@dataclass(slots=True)
class _RemainingParts:
    """The same time on one rank, in parts: the steps can share passes, encode and decode cannot.

    Args:
        encode_ns, encode_ns2: mean and variance of its encoding; 0 where that is done.
        step_kind: of its steps; None where none is left.
        steps: the number of steps left.
        decode_ns, decode_ns2: mean and variance of its decoding.
        elsewhere_ns, elsewhere_ns2: of what it still takes on other ranks, alone.
    """

    encode_ns: float = 0.0
    encode_ns2: float = 0.0
    step_kind: PassKind | None = None
    steps: int = 0
    decode_ns: float = 0.0
    decode_ns2: float = 0.0
    elsewhere_ns: float = 0.0
    elsewhere_ns2: float = 0.0

    @property
    def is_idle(self) -> bool:
        """Whether nothing is left on this rank."""
        return not (self.encode_ns or self.steps or self.decode_ns)


class Forecast:
    """Remaining times by the latency model, cached until the next observation.

    Args:
        latency: the model.
        caution: standard deviations to allow for.
    """

    def __init__(self, latency: LatencyModel, *, caution: float) -> None:
        self._latency = latency
        self._caution = caution
        self._stages: dict[StagePlan, list[_StageTime]] = {}
        self._observed: set[PassKind] = set()  # since the stages were last used
        self._known: set[StagePlan] = set()
        self._times: dict[StagePlan, list[RemainingTime]] = {}
        self._parts: dict[tuple[StagePlan, int, int], _RemainingParts] = {}

    def observe(self, kind: PassKind, *, items: int, duration_ns: int) -> None:
        """A pass has ended: learn from it."""
        self._latency.observe(kind, items=items, duration_ns=duration_ns)
        self._observed.add(kind)
        self._times.clear()
        self._parts.clear()

    def remaining(self, plan: StagePlan) -> list[RemainingTime]:
        """The time that a chunk of `plan` still takes, by its position."""
        times = self._times.get(plan)
        if times is None:
            times = self._times[plan] = self._remaining_times(plan)
        return times

    def is_known(self, plan: StagePlan) -> bool:
        """Whether all of its stages have been observed: no chunk is dropped on a guess."""
        if plan not in self._known and all(stage.is_known for stage in self._stages_of(plan)):
            self._known.add(plan)  # for good
        return plan in self._known

    def pass_ns(self, kind: PassKind, items: int) -> float:
        """Time of one pass on one rank, with caution."""
        line = self._latency.line(kind)
        return line.at(items) * (1.0 + self._caution * self._latency.spread(kind))

    def sharing_gain(self, kind: PassKind) -> float:
        """Share of a lone pass that joining another saves."""
        line = self._latency.line(kind)
        return line.base_ns / line.at(1)

    def shared_ns(self, plan: StagePlan, items: float) -> float:
        """Time of a chunk whose steps run in passes of `items` on average, its share of each."""
        whole = self.remaining(plan)[0]
        return whole.mean_ns - whole.shareable_ns * (1 - 1 / items)

    def rank_ns(self, plan: StagePlan, items: float) -> list[float]:
        """The same on each rank."""
        times_ns = [0.0] * (max(plan.ranks) + 1)
        for kind, rank in zip(plan.kinds, plan.ranks, strict=True):
            line = self._latency.line(kind)
            shared_ns = line.base_ns * (1 - 1 / items) if kind.stage is Stage.DENOISE else 0.0
            times_ns[rank] += line.at(1) - shared_ns
        return times_ns

    def through_ns(self, plan: StagePlan, items: int) -> float:
        """Time of a chunk from end to end where each pass over steps holds `items`."""
        return sum(
            self._latency.line(kind).at(items if kind.stage is Stage.DENOISE else 1)
            for kind in plan.kinds
        )

    def all_in_time(self, chunks: Iterable[QueuedChunk], now_ns: int) -> bool:
        """Whether all of `chunks` would make their deadlines if they shared passes.

        Each rank is looked at as if all that a chunk does elsewhere came before or after: on the
        busiest rank, which decides, the chunks queue up behind each other so.

        Chunks that are not begun are encoded first. Then come rounds in which each chunk with steps
        left takes one, in a pass shared with all of its kind. A chunk is decoded after its last
        step, before the next round. A chunk that is late already takes its time, too, but its
        deadline does not count.
        """
        together = list(chunks)
        if self._would_be_in_time_alone(together, now_ns):
            return True
        ranks = {rank for chunk in together for rank in chunk.plan.ranks[chunk.position :]}
        return all(self._are_in_time_on(rank, together, now_ns) for rank in ranks)

    def _would_be_in_time_alone(self, chunks: list[QueuedChunk], now_ns: int) -> bool:
        """Whether all would make their deadlines one after the other, in whichever order, so that
        nothing needs to be looked at more closely."""
        ends_ns = float(now_ns)
        earliest_ns = math.inf
        for chunk in chunks:
            ends_ns += self.remaining(chunk.plan)[chunk.position].cautious_ns
            if chunk.slack_ns >= 0:
                earliest_ns = min(earliest_ns, chunk.deadline_ns)
        return ends_ns <= earliest_ns

    def _are_in_time_on(self, rank: int, chunks: list[QueuedChunk], now_ns: int) -> bool:
        work = [
            (parts, chunk)
            for chunk in chunks
            if not (parts := self._remaining_parts(chunk.plan, chunk.position, rank)).is_idle
        ]
        work.sort(key=_order_of_decoding)
        step_kinds = dict.fromkeys(parts.step_kind for parts, _ in work if parts.step_kind)
        mean_ns = sum(parts.encode_ns for parts, _ in work)
        variance_ns2 = sum(parts.encode_ns2 for parts, _ in work)
        rounds_done = 0
        for index, (parts, chunk) in enumerate(work):
            rounds = parts.steps - rounds_done
            if rounds:
                stepping = [others.step_kind for others, _ in work[index:]]
                for kind in step_kinds:
                    items = stepping.count(kind)
                    pass_ns = self._latency.line(kind).at(items) if items else 0.0
                    mean_ns += rounds * pass_ns
                    variance_ns2 += rounds * (self._latency.spread(kind) * pass_ns) ** 2
                rounds_done = parts.steps
            mean_ns += parts.decode_ns
            variance_ns2 += parts.decode_ns2
            deviation_ns = (variance_ns2 + parts.elsewhere_ns2) ** 0.5
            ends_ns = now_ns + mean_ns + parts.elsewhere_ns + self._caution * deviation_ns
            if chunk.slack_ns >= 0 and ends_ns > chunk.deadline_ns:
                return False
        return True

    def _remaining_parts(self, plan: StagePlan, position: int, rank: int) -> _RemainingParts:
        parts = self._parts.get((plan, position, rank))
        if parts is not None:
            return parts
        parts = self._parts[plan, position, rank] = _RemainingParts()
        stages = self._stages_of(plan)
        for index in range(position, len(stages)):
            kind, stage = plan.kinds[index], stages[index]
            alone_ns, variance_ns2 = stage.alone_ns, stage.variance_ns2
            if plan.ranks[index] != rank:
                parts.elsewhere_ns += alone_ns
                parts.elsewhere_ns2 += variance_ns2
                continue
            match kind.stage:
                case Stage.ENCODE:
                    parts.encode_ns, parts.encode_ns2 = alone_ns, variance_ns2
                case Stage.DENOISE:
                    parts.step_kind = kind
                    parts.steps += 1
                case Stage.DECODE:
                    parts.decode_ns, parts.decode_ns2 = alone_ns, variance_ns2
        return parts

    def _stages_of(self, plan: StagePlan) -> list[_StageTime]:
        if self._observed:
            self._refresh_stages()
        stages = self._stages.get(plan)
        if stages is None:
            stages = self._stages[plan] = [self._stage_time(kind) for kind in plan.kinds]
        return stages

    def _refresh_stages(self) -> None:
        times = {kind: self._stage_time(kind) for kind in self._observed}
        self._observed.clear()
        for plan, stages in self._stages.items():
            if not times.keys().isdisjoint(plan.kinds):
                stages[:] = [
                    times.get(kind, stage) for kind, stage in zip(plan.kinds, stages, strict=True)
                ]

    def _stage_time(self, kind: PassKind) -> _StageTime:
        line = self._latency.line(kind)
        alone_ns = line.at(1)
        return _StageTime(
            alone_ns=alone_ns,
            variance_ns2=(self._latency.spread(kind) * alone_ns) ** 2,
            shareable_ns=line.base_ns if kind.stage is Stage.DENOISE else 0.0,
            is_known=self._latency.samples(kind) >= _TRUSTED_SAMPLES,
        )

    def _remaining_times(self, plan: StagePlan) -> list[RemainingTime]:
        mean_ns = variance_ns2 = shareable_ns = 0.0
        times: list[RemainingTime] = []
        for stage in reversed(self._stages_of(plan)):
            mean_ns += stage.alone_ns
            variance_ns2 += stage.variance_ns2
            shareable_ns += stage.shareable_ns
            time = RemainingTime(
                mean_ns=mean_ns,
                variance_ns2=variance_ns2,
                cautious_ns=mean_ns + self._caution * variance_ns2**0.5,
                shareable_ns=shareable_ns,
            )
            times.append(time)
        times.reverse()
        return times


def _order_of_decoding(work: tuple[_RemainingParts, QueuedChunk]) -> tuple[int, int]:
    parts, chunk = work
    return parts.steps, chunk.paced_deadline_ns

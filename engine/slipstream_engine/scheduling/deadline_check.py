"""How long chunks still take by the latency model, and whether they will be in time. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass

from slipstream_engine.scheduling.latency_model import LatencyModel
from slipstream_engine.scheduling.queues import QueuedChunk
from slipstream_engine.scheduling.types import PassKind, Stage, StagePlan

_TRUSTED_SAMPLES = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class RemainingTime:
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
class _RemainingParts:
    """The same time in parts: the steps can share passes, encode and decode cannot.

    Args:
        encode_ns, encode_ns2: mean and variance of its encoding; 0 where that is done.
        step_kind: of its steps; None where none is left.
        steps: the number of steps left.
        decode_ns, decode_ns2: mean and variance of its decoding.
    """

    encode_ns: float = 0.0
    encode_ns2: float = 0.0
    step_kind: PassKind | None = None
    steps: int = 0
    decode_ns: float = 0.0
    decode_ns2: float = 0.0


class Forecast:
    """Remaining times by the latency model, cached until the next observation.

    Args:
        latency: the model.
        caution: standard deviations to allow for.
    """

    def __init__(self, latency: LatencyModel, *, caution: float) -> None:
        self._latency = latency
        self._caution = caution
        self._times: dict[StagePlan, list[RemainingTime]] = {}
        self._parts: dict[tuple[StagePlan, int], _RemainingParts] = {}

    def observe(self, kind: PassKind, *, items: int, duration_ns: int) -> None:
        """A pass has ended: learn from it."""
        self._latency.observe(kind, items=items, duration_ns=duration_ns)
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
        return all(self._latency.samples(kind) >= _TRUSTED_SAMPLES for kind in plan.kinds)

    def pass_ns(self, kind: PassKind, items: int) -> float:
        """Time of one pass, with caution."""
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

    def all_in_time(self, chunks: Iterable[QueuedChunk], now_ns: int) -> bool:
        """Whether all of `chunks` would make their deadlines if they shared passes.

        Chunks that are not begun are encoded first. Then come rounds in which each chunk with steps
        left takes one, in a pass shared with all of its kind. A chunk is decoded after its last
        step, before the next round. A chunk that is late already takes its time, too, but its
        deadline does not count.
        """
        work = [(self._remaining_parts(chunk.plan, chunk.position), chunk) for chunk in chunks]
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
            ends_ns = now_ns + mean_ns + self._caution * variance_ns2**0.5
            if chunk.slack_ns >= 0 and ends_ns > chunk.deadline_ns:
                return False
        return True

    def _remaining_parts(self, plan: StagePlan, position: int) -> _RemainingParts:
        parts = self._parts.get((plan, position))
        if parts is not None:
            return parts
        parts = self._parts[plan, position] = _RemainingParts()
        for kind in plan.kinds[position:]:
            alone_ns = self._latency.line(kind).at(1)
            variance_ns2 = (self._latency.spread(kind) * alone_ns) ** 2
            match kind.stage:
                case Stage.ENCODE:
                    parts.encode_ns, parts.encode_ns2 = alone_ns, variance_ns2
                case Stage.DENOISE:
                    parts.step_kind = kind
                    parts.steps += 1
                case Stage.DECODE:
                    parts.decode_ns, parts.decode_ns2 = alone_ns, variance_ns2
        return parts

    def _remaining_times(self, plan: StagePlan) -> list[RemainingTime]:
        mean_ns = variance_ns2 = shareable_ns = 0.0
        times: list[RemainingTime] = []
        for kind in reversed(plan.kinds):
            line = self._latency.line(kind)
            alone_ns = line.at(1)
            mean_ns += alone_ns
            variance_ns2 += (self._latency.spread(kind) * alone_ns) ** 2
            if kind.stage is Stage.DENOISE:
                shareable_ns += line.base_ns
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

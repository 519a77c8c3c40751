"""What the latency model means for chunks: how long they still take, alone or together. Pure."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from slipstream_engine.scheduling.latency_model import LatencyModel
from slipstream_engine.scheduling.queues import QueuedChunk
from slipstream_engine.scheduling.types import PassKind, Stage, StagePlan

_TRUSTED_SAMPLES = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Rest:
    """What a chunk still needs from one of its stages on.

    Args:
        mean_ns: were it alone.
        variance_ns2: of that, the noise of one pass being independent of the next's.
        careful_ns: `mean_ns` and as many standard deviations as the forecast is cautious.
        shareable_ns: the part of `mean_ns` that all members of a pass pay only once.
    """

    mean_ns: float
    variance_ns2: float
    careful_ns: float
    shareable_ns: float


@dataclass(slots=True)
class _Leg:
    """The rest of a chunk in three parts: means and variances of the two it has for itself."""

    kind: PassKind | None = None
    steps: int = 0
    before_ns: float = 0.0
    before_ns2: float = 0.0
    after_ns: float = 0.0
    after_ns2: float = 0.0


class Forecast:
    """Remaining times by the latency model, worked out once between two observations.

    Args:
        latency: the model.
        caution: standard deviations to allow for.
    """

    def __init__(self, latency: LatencyModel, *, caution: float) -> None:
        self._latency = latency
        self._caution = caution
        self._rests: dict[StagePlan, list[Rest]] = {}
        self._legs: dict[tuple[StagePlan, int], _Leg] = {}

    def observe(self, kind: PassKind, *, items: int, duration_ns: int) -> None:
        """A pass has ended."""
        self._latency.observe(kind, items=items, duration_ns=duration_ns)
        self._rests.clear()
        self._legs.clear()

    def rest(self, path: StagePlan) -> list[Rest]:
        """What is left of a chunk of `path`, by its position."""
        rests = self._rests.get(path)
        if rests is None:
            rests = self._rests[path] = self._work_out(path)
        return rests

    def is_known(self, path: StagePlan) -> bool:
        """Whether all of its stages have been seen: a guess is no ground to drop a chunk."""
        return all(self._latency.samples(kind) >= _TRUSTED_SAMPLES for kind in path.kinds)

    def pass_ns(self, kind: PassKind, items: int) -> float:
        """Time of one pass, with caution."""
        line = self._latency.line(kind)
        return line.at(items) * (1.0 + self._caution * self._latency.spread(kind))

    def saves(self, kind: PassKind) -> float:
        """Share of a lone pass that joining another saves."""
        line = self._latency.line(kind)
        return line.base_ns / line.at(1)

    def shared_ns(self, path: StagePlan, items: int) -> float:
        """Time of a whole chunk whose steps run in passes of `items`, its share of each."""
        rest = self.rest(path)[0]
        return rest.mean_ns - rest.shareable_ns * (1 - 1 / items)

    def all_in_time(self, chunks: Iterable[QueuedChunk], now_ns: int) -> bool:
        """Whether all these would make their deadlines, served together.

        First those not begun are encoded, then all take their steps in common passes, and each is
        decoded as its last step is done. One that is lost already takes its time but is not judged.
        """
        left = [(self._leg(chunk.path, chunk.position), chunk) for chunk in chunks]
        left.sort(key=_first_done)
        sharing = Counter(leg.kind for leg, _ in left if leg.kind)
        mean_ns = sum(leg.before_ns for leg, _ in left)
        variance_ns2 = sum(leg.before_ns2 for leg, _ in left)
        steps = 0
        for leg, chunk in left:
            for kind, items in sharing.items():
                pass_ns = self._latency.line(kind).at(items) if items else 0.0
                mean_ns += (leg.steps - steps) * pass_ns
                variance_ns2 += (leg.steps - steps) * (self._latency.spread(kind) * pass_ns) ** 2
            steps = leg.steps
            if leg.kind:
                sharing[leg.kind] -= 1
            mean_ns += leg.after_ns
            variance_ns2 += leg.after_ns2
            ends_ns = now_ns + mean_ns + self._caution * variance_ns2**0.5
            if chunk.slack_ns >= 0 and ends_ns > chunk.deadline_ns:
                return False
        return True

    def _leg(self, path: StagePlan, position: int) -> "_Leg":
        """What is left of a chunk, before, in and after the passes it shares."""
        leg = self._legs.get((path, position))
        if leg is not None:
            return leg
        leg = self._legs[path, position] = _Leg()
        for kind in path.kinds[position:]:
            alone_ns = self._latency.line(kind).at(1)
            noise_ns2 = (self._latency.spread(kind) * alone_ns) ** 2
            if kind.stage is Stage.ENCODE:
                leg.before_ns, leg.before_ns2 = alone_ns, noise_ns2
            elif kind.stage is Stage.DECODE:
                leg.after_ns, leg.after_ns2 = alone_ns, noise_ns2
            else:
                leg.kind = kind
                leg.steps += 1
        return leg

    def _work_out(self, path: StagePlan) -> list[Rest]:
        mean_ns = variance_ns2 = shareable_ns = 0.0
        rests: list[Rest] = []
        for kind in reversed(path.kinds):
            line = self._latency.line(kind)
            alone_ns = line.at(1)
            mean_ns += alone_ns
            variance_ns2 += (self._latency.spread(kind) * alone_ns) ** 2
            if kind.stage is Stage.DENOISE:
                shareable_ns += line.base_ns
            rest = Rest(
                mean_ns=mean_ns,
                variance_ns2=variance_ns2,
                careful_ns=mean_ns + self._caution * variance_ns2**0.5,
                shareable_ns=shareable_ns,
            )
            rests.append(rest)
        rests.reverse()
        return rests


def _first_done(left: tuple[_Leg, QueuedChunk]) -> tuple[int, int]:
    leg, chunk = left
    return leg.steps, chunk.rank_ns

"""What streams are promised, and whether one more promise can be kept beside them. Pure.

A promise weighs what its camera's rate costs the device, from the moment it is given: a stream that
has sent nothing yet, or is paused, or held for its publisher, may send at that rate the next
moment. A device that is too slow for one stream alone is filled by it, not more than filled.
"""

from collections.abc import Collection
from dataclasses import dataclass, replace

from slipstream_protocol.clock import NS_PER_MS
from slipstream_protocol.frames import FrameSize
from slipstream_protocol.owed_rate import owed_period_ns

from slipstream_engine.scheduling.backlog import Backlog
from slipstream_engine.scheduling.deadline_check import Forecast
from slipstream_engine.scheduling.types import ChunkShape, moved_level

_FULL_LOAD = 0.9  # share of the device that may be promised to streams


@dataclass(frozen=True, slots=True, kw_only=True)
class QualityFloor:
    """The least that a stream may be moved to where the device is full.

    Args:
        steps: of its chunks.
        period_ns: their distance; one that is shorter than at the camera's rate changes nothing.
        size: of their frames; None for that which they have.

    Raises:
        ValueError: if there is no step, or the period is negative.
    """

    steps: int
    period_ns: int = 0
    size: FrameSize | None = None

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise ValueError(f"floor_steps is {self.steps}, it must be at least 1")
        if self.period_ns < 0:
            raise ValueError(f"floor_period_ns is {self.period_ns}, it must be at least 0")


@dataclass(frozen=True, slots=True, kw_only=True)
class Promise:
    """What a stream is served, whatever the others send.

    Args:
        shape: of its chunks.
        period_ns: their distance at its camera's rate.
        floor: what it may be moved to; None where it is served as it is, or not at all.
        shares_passes: whether its steps are weighed as sharing passes with others of its level. Not
            before the size of its frames is known, by which it may have a level of its own.

    Raises:
        ValueError: if the period is below 1 ns.
    """

    shape: ChunkShape
    period_ns: int
    floor: QualityFloor | None = None
    shares_passes: bool = True

    def __post_init__(self) -> None:
        if self.period_ns < 1:
            raise ValueError(f"period_ns is {self.period_ns}, it must be at least 1")

    def with_shape(self, shape: ChunkShape) -> "Promise":
        """The same for chunks of another shape; the floor stays where it is."""
        return replace(self, shape=shape)

    def at_floor(self) -> "Promise":
        """The least that it comes down to."""
        if self.floor is None:
            return self
        floor, level = self.floor, self.shape.level
        shape = replace(
            self.shape,
            steps=min(self.shape.steps, floor.steps),
            level=level if floor.size is None else moved_level(level, floor.size),
        )
        return Promise(
            shape=shape,
            period_ns=max(self.period_ns, floor.period_ns),
            shares_passes=self.shares_passes,
        )

    def shares_with(self, other: "Promise") -> bool:
        """Whether steps of both may run in one pass."""
        is_known = self.shares_passes and other.shares_passes
        return is_known and self.shape.level == other.shape.level


@dataclass(frozen=True, slots=True, kw_only=True)
class Admission:
    """Whether a promise can be kept.

    Args:
        load: share of the device, of several ranks the busiest, that all promises would take, steps
            sharing passes.
        reason: why not, for people; None where it can.
    """

    load: float
    reason: str | None


class Promises:
    """The promises of all streams of one device.

    Args:
        backlog: knows the stages of a shape.
        forecast: of the times of passes.
        max_batch: most micro-steps the device can take in one pass.
    """

    def __init__(self, backlog: Backlog, forecast: Forecast, *, max_batch: int) -> None:
        self._backlog = backlog
        self._forecast = forecast
        self._max_batch = max_batch
        self._given: dict[int, Promise] = {}

    def give(self, stream: int, promise: Promise) -> None:
        """From now on it is weighed; one that the stream had before is replaced."""
        self._given[stream] = promise

    def forget(self, stream: int) -> None:
        """The stream is closed."""
        self._given.pop(stream, None)

    def of(self, stream: int) -> Promise | None:
        """What the stream is promised."""
        return self._given.get(stream)

    def admit(
        self, promise: Promise, *, stream: int | None = None, without: Collection[int] = ()
    ) -> Admission:
        """Whether it can be kept beside the others.

        Args:
            without: streams that would be closed before.
            stream: whose promise it would replace; None for a new stream. A change that does not
                raise the load is admitted on a full device too, and any where nobody else is.
        """
        others = {
            other: given
            for other, given in self._given.items()
            if other != stream and other not in without
        }
        load = self._load([*others.values(), promise])
        present = self._load(list(self._given.values())) if stream in self._given else 0.0
        if not others or load <= max(_FULL_LOAD, present):
            return Admission(load=load, reason=None)
        alone_ms = self.alone_ns(promise.shape) / NS_PER_MS
        reason = (
            f"load would be {load:.0%} of this device, it must be at most {_FULL_LOAD:.0%} (a "
            f"chunk takes {alone_ms:.0f} ms alone and comes every "
            f"{promise.period_ns / NS_PER_MS:.0f} ms); "
            "ask for fewer steps or frames, or wait until a viewer leaves"
        )
        return Admission(load=load, reason=reason)

    def alone_ns(self, shape: ChunkShape) -> float:
        """Time of a chunk that has the device to itself."""
        return self._forecast.remaining(self._backlog.plan(shape))[0].mean_ns

    def entitled_period_ns(self, promise: Promise) -> int:
        """The distance of chunks that can be asked for: no less than the busiest rank takes."""
        busiest_ns = max(self._forecast.rank_ns(self._backlog.plan(promise.shape), 1))
        return round(owed_period_ns(filling_ns=promise.period_ns, alone_ns=busiest_ns))

    def _load(self, promises: list[Promise]) -> float:
        """The share of the busiest rank that they take at their floors: steps share passes with
        all of their level, and so of their size, that come within their period."""
        least = [promise.at_floor() for promise in promises]
        periods_ns = [self.entitled_period_ns(promise) for promise in least]
        loads = [0.0] * self._backlog.placement.ranks
        for place, (promise, period_ns) in enumerate(zip(least, periods_ns, strict=True)):
            steps = sum(
                other.shape.steps * min(1.0, period_ns / other_ns)
                for at, (other, other_ns) in enumerate(zip(least, periods_ns, strict=True))
                if at == place or promise.shares_with(other)
            )
            items = min(max(steps, 1.0), self._max_batch)
            times_ns = self._forecast.rank_ns(self._backlog.plan(promise.shape), items)
            for rank, time_ns in enumerate(times_ns):
                loads[rank] += time_ns / period_ns
        return max(loads)

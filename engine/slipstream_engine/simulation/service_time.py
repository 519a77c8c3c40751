"""How long passes really take on simulated ranks: a line, noise, and a slow-down. Pure."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from slipstream_engine.scheduling.latency_model import LinearLatency
from slipstream_engine.scheduling.types import PassKind, Stage


class Service(Protocol):
    """What a device takes for a pass."""

    def duration_ns(self, kind: PassKind, items: int, now_ns: int) -> int: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class SlowDown:
    """From `from_ns` to `to_ns` every pass takes `factor` times as long."""

    from_ns: int
    to_ns: int
    factor: float


class NoisyService:
    """A line per stage, times log-normal noise of mean 1, times whatever slow-down is on.

    Args:
        lines: of each stage.
        shares: of the line of a denoising step, for each path, at each hop of it.
        noise: standard deviation as a share of the mean.
        slow_down: or None.
        rng: draws the noise.
    """

    def __init__(
        self,
        lines: Mapping[Stage, LinearLatency],
        *,
        noise: float,
        slow_down: SlowDown | None,
        rng: random.Random,
        shares: Sequence[Sequence[float]] = ((1.0,),),
    ) -> None:
        self._shares = shares
        self._lines = lines
        self._noise = noise
        self._slow_down = slow_down
        self._rng = rng

    def duration_ns(self, kind: PassKind, items: int, now_ns: int) -> int:
        """Time of a pass over `items` that starts now."""
        sigma = self._noise
        factor = self._rng.lognormvariate(-sigma * sigma / 2, sigma) if sigma else 1.0
        slow = self._slow_down
        if slow and slow.from_ns <= now_ns < slow.to_ns:
            factor *= slow.factor
        if kind.stage is Stage.DENOISE:
            factor *= self._shares[kind.path][kind.hop]
        return max(1, round(self._lines[kind.stage].at(items) * factor))

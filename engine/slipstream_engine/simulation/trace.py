"""What happened in a simulation, and the figures drawn from it. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from slipstream_protocol.clock import NS_PER_MS

from slipstream_engine.scheduling.types import Stage

ItemT = TypeVar("ItemT")

SLICES = 10  # of the simulated time, for figures that change with it


@dataclass(frozen=True, slots=True, kw_only=True)
class ChunkOutcome:
    """A chunk's end; `age_ns` is None where it was dropped."""

    stream: int
    chunk: int
    captured_ns: int
    age_ns: int | None
    is_missed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatedPass:
    """One forward pass, or one hop of it on a rank of its device."""

    device: int
    stage: Stage
    items: int
    started_ns: int
    ended_ns: int
    rank: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """All chunks that came to their end, and all passes, in order."""

    outcomes: list[ChunkOutcome] = field(default_factory=list)
    passes: list[SimulatedPass] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """One policy's figures.

    Args:
        chunks: that came to their end.
        missed, dropped: shares of those.
        age_p50_ms, age_p95_ms, age_p99_ms: of the chunks that were not dropped.
        mean_batch: items of a denoising pass.
        decisions_per_minute: passes chosen in a minute of CPU time, the simulation included.
        batch_by_slice, missed_by_slice: `mean_batch` and `missed` of each tenth of the time.
    """

    name: str
    chunks: int
    missed: float
    dropped: float
    age_p50_ms: float
    age_p95_ms: float
    age_p99_ms: float
    mean_batch: float
    decisions_per_minute: float
    batch_by_slice: tuple[float, ...]
    missed_by_slice: tuple[float, ...]


def summarise(name: str, trace: Trace, *, until_ns: int, cpu_s: float = 0.0) -> Summary:
    """The figures of a trace.

    Raises:
        ValueError: if no chunk came to its end.
    """
    outcomes = trace.outcomes
    if not outcomes:
        raise ValueError("no chunk came to its end, simulate for longer")
    ages_ns = sorted(outcome.age_ns for outcome in outcomes if outcome.age_ns is not None)
    steps = [one for one in trace.passes if one.stage is Stage.DENOISE]
    return Summary(
        name=name,
        chunks=len(outcomes),
        missed=_share_missed(outcomes),
        dropped=1 - len(ages_ns) / len(outcomes),
        age_p50_ms=_percentile_ms(ages_ns, 50),
        age_p95_ms=_percentile_ms(ages_ns, 95),
        age_p99_ms=_percentile_ms(ages_ns, 99),
        mean_batch=_mean([one.items for one in steps]),
        decisions_per_minute=len(trace.passes) / cpu_s * 60 if cpu_s else 0.0,
        batch_by_slice=tuple(
            _mean([one.items for one in part])
            for part in _sliced(steps, [one.started_ns for one in steps], until_ns)
        ),
        missed_by_slice=tuple(
            _share_missed(part)
            for part in _sliced(outcomes, [item.captured_ns for item in outcomes], until_ns)
        ),
    )


def _share_missed(outcomes: Sequence[ChunkOutcome]) -> float:
    return _mean([outcome.is_missed for outcome in outcomes])


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0


def _percentile_ms(ordered_ns: Sequence[int], percent: int) -> float:
    """Nearest rank; 0 of nothing."""
    if not ordered_ns:
        return 0.0
    return ordered_ns[max(0, -(-len(ordered_ns) * percent // 100) - 1)] / NS_PER_MS


def _sliced(items: Sequence[ItemT], at_ns: Sequence[int], until_ns: int) -> list[list[ItemT]]:
    """The items by the slice of time they fall into."""
    slices: list[list[ItemT]] = [[] for _ in range(SLICES)]
    for item, when_ns in zip(items, at_ns, strict=True):
        slices[min(max(when_ns, 0) * SLICES // until_ns, SLICES - 1)].append(item)
    return slices

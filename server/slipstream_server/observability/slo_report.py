"""Service levels of one stream: milestones, targets and reports. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from slipstream_server.observability.client_stats import ClientStatsReport
from slipstream_server.observability.error_budget import ServiceLevel


class Milestone(StrEnum):
    """The steps to the first frame; each is timed from the offer."""

    SIGNAL = "signal"  # the answer is sent
    ICE = "ice"  # the peers are connected
    FIRST_INPUT = "first_input"  # a camera frame is decoded
    FIRST_GENERATED = "first_generated"  # the engine has generated a chunk
    FIRST_SENT = "first_sent"  # a generated frame is handed to the encoder
    FIRST_SHOWN = "first_shown"  # the page reports it on screen


@dataclass(frozen=True, slots=True, kw_only=True)
class SloTargets:
    """The targets of a stream.

    Args:
        miss_ratio: of the chunks, at most.
        rate_ratio: of the frames due, at least.
        in_time_ratio: of first frames within `ttff_ms`, and of frames within `age_ms`, at least.

    Raises:
        ValueError: if a target is not positive, or a share is not within 0 to 1.
    """

    ttff_ms: float = 1000.0
    age_ms: float = 1000.0
    miss_ratio: float = 0.01
    rate_ratio: float = 0.9
    in_time_ratio: float = 0.95

    @property
    def objectives(self) -> Mapping[ServiceLevel, float]:
        """The share of its events that must be good, by level."""
        return {
            ServiceLevel.TTFF: self.in_time_ratio,
            ServiceLevel.AGE: self.in_time_ratio,
            ServiceLevel.MISS: 1 - self.miss_ratio,
            ServiceLevel.RATE: self.rate_ratio,
        }

    def __post_init__(self) -> None:
        for name in ("ttff_ms", "age_ms"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} is {getattr(self, name)}, it must be above 0")
        for name in ("miss_ratio", "rate_ratio", "in_time_ratio"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} is {getattr(self, name)}, it must be between 0 and 1")


@dataclass(frozen=True, slots=True, kw_only=True)
class Percentiles:
    p50: float
    p95: float
    p99: float


class AgeCovers(StrEnum):
    """Where an age ends; it begins at the camera."""

    GLASS = "glass"  # on the viewer's screen
    SENT = "sent"  # at the encoder


@dataclass(frozen=True, slots=True, kw_only=True)
class StageShares:
    """Mean milliseconds a frame spends in each stage: waiting for its chunk and for the engine, in
    the engine's three stages, and waiting to be played."""

    wait: float
    encode: float
    denoise: float
    decode: float
    playout: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Holds:
    """Whether each target is met; None before it is known."""

    ttff: bool | None
    age: bool | None
    miss: bool | None
    rate: bool | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SloReport:
    """The figures of one stream at one moment; None where there is nothing to measure yet.

    Args:
        age_ms: to sent.
        age_covers: where the age ends that the verdict is about.
        since_input_ms: since the camera's last frame, or since there is a path for its first.
        rate_ratio: share of the frames due that were shown.
    """

    ttff_ms: Mapping[Milestone, float]
    ttff_paper_ms: float | None
    age_ms: Percentiles | None
    age_covers: AgeCovers | None
    gap_ms: Percentiles | None
    jitter_frame_ms: float | None
    jitter_chunk_ms: float | None
    fps_in: float
    since_input_ms: float | None
    fps_out: float
    miss_ratio: float | None
    rate_ratio: float | None
    stages_ms: StageShares | None
    viewer: ClientStatsReport | None
    holds: Holds


def percentiles(values: list[float]) -> Percentiles | None:
    """Nearest-rank percentiles; None without values."""
    if not values:
        return None
    ordered = sorted(values)

    def rank(percent: int) -> float:
        return ordered[max(0, -(-len(ordered) * percent // 100) - 1)]

    return Percentiles(p50=rank(50), p95=rank(95), p99=rank(99))

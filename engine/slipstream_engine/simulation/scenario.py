"""What is simulated, by whom, and the figures that come of it. Pure."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from slipstream_protocol.clock import NS_PER_MS, NS_PER_S

from slipstream_engine.config import CHUNK_FRAMES
from slipstream_engine.scheduling.latency_model import LatencyModel, LinearLatency
from slipstream_engine.scheduling.scheduler import Scheduler, SchedulingPolicy
from slipstream_engine.scheduling.types import ChunkShape, Stage
from slipstream_engine.simulation.baseline_policies import (
    FixedBatchPolicy,
    PaperPolicy,
    StreamBatchPolicy,
)
from slipstream_engine.simulation.simulator import (
    ChunkOutcome,
    NoisyService,
    SimulatedCamera,
    Simulator,
    SlowDown,
    Trace,
)

T = TypeVar("T")

SLOW_CASE = "60 % load, twice as slow in the middle third"
SLICES = 10  # of the simulated time, for what changes with it


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceModel:
    """Milliseconds of a chunk's parts: a pass of B steps takes `pass_ms + step_ms * B`."""

    encode_ms: float
    pass_ms: float
    step_ms: float
    decode_ms: float

    def lines(self) -> dict[Stage, LinearLatency]:
        """The true time of passes, by stage; convolutions gain nothing from company."""
        return {
            Stage.ENCODE: LinearLatency(base_ns=0, per_item_ns=self.encode_ms * NS_PER_MS),
            Stage.DENOISE: LinearLatency(
                base_ns=self.pass_ms * NS_PER_MS, per_item_ns=self.step_ms * NS_PER_MS
            ),
            Stage.DECODE: LinearLatency(base_ns=0, per_item_ns=self.decode_ms * NS_PER_MS),
        }

    def stream_batch_ms(self, steps: int) -> float:
        """One chunk under the stream batch, which sets the scale of `load`."""
        return self.encode_ms + self.pass_ms + self.step_ms * steps + self.decode_ms


# one H100, from the StreamDiffusionV2 paper's tables: chunk times with and without stream batch
# give the pass and the step, the plateau on several GPUs gives the decoder
DEVICES = {
    "h100-1.3b-480p": DeviceModel(encode_ms=50.5, pass_ms=26.6, step_ms=30.7, decode_ms=89.5),
    "h100-1.3b-512": DeviceModel(encode_ms=34.5, pass_ms=38.4, step_ms=17.9, decode_ms=61.5),
    "h100-14b-480p": DeviceModel(encode_ms=50.5, pass_ms=28.0, step_ms=148.0, decode_ms=89.5),
    "h100-14b-512": DeviceModel(encode_ms=34.5, pass_ms=29.0, step_ms=90.0, decode_ms=61.5),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """What is simulated.

    Args:
        device: what each GPU takes for a chunk.
        gpus: how many; streams are dealt out in turn and stay.
        streams, steps: number of streams, and of each chunk's denoising steps.
        load: chunks offered, as a share of what the stream batch could do.
        noise: standard deviation of a pass, as a share of its mean.
        jitter_ms: mean delay of a chunk's arrival.
        target_ms: age of a chunk's oldest frame beyond which it is missed.
        slow_down: factor on all passes in the middle third; 1 for none.
        seconds: simulated time.
        seed: of all chance.
        is_asked: chunks wait at the camera until the device asks, as the server's do.

    Raises:
        ValueError: if there is nothing to simulate.
    """

    device: DeviceModel
    gpus: int = 1
    streams: int = 3
    steps: int = 2
    load: float = 0.9
    noise: float = 0.2
    jitter_ms: float = 10.0
    target_ms: float = 1000.0
    slow_down: float = 1.0
    seconds: float = 1800.0
    seed: int = 1
    is_asked: bool = False

    def __post_init__(self) -> None:
        for name in ("gpus", "streams", "steps", "load", "target_ms", "slow_down", "seconds"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} is {getattr(self, name)}, it must be above 0")
        for name in ("noise", "jitter_ms"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} is {getattr(self, name)}, it must not be negative")

    @property
    def fps(self) -> float:
        """Frames a second of each stream."""
        chunks_hz = self.load * self.gpus * 1000 / self.device.stream_batch_ms(self.steps)
        return CHUNK_FRAMES * chunks_hz / self.streams


def suite(*, seconds: float) -> dict[str, Scenario]:
    """The cases that the project is judged by, on one H100's published times unless they say so."""
    h100 = DEVICES["h100-1.3b-512"]
    return {
        "90 % load": Scenario(device=h100, seconds=seconds),
        "90 % load, target 780 ms": Scenario(device=h100, target_ms=780, seconds=seconds),
        "110 % load": Scenario(device=h100, load=1.1, seconds=seconds),
        "150 % load": Scenario(device=h100, load=1.5, seconds=seconds),
        "two GPUs, six streams, 110 % load": Scenario(
            device=h100, gpus=2, streams=6, load=1.1, seconds=seconds
        ),
        "150 % load, frames wait to be asked for": Scenario(
            device=h100, load=1.5, is_asked=True, seconds=seconds
        ),
        SLOW_CASE: Scenario(
            device=h100, streams=2, load=0.6, slow_down=2, target_ms=1300, seconds=seconds
        ),
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """One policy's figures; ages are of chunks that were made."""

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


def _new_latency() -> LatencyModel:
    """A model that knows nothing yet: any device is new to it."""
    return LatencyModel(LinearLatency(base_ns=20 * NS_PER_MS, per_item_ns=20 * NS_PER_MS))


POLICIES: dict[str, Callable[[], SchedulingPolicy]] = {
    "slo-aware": lambda: Scheduler(_new_latency()),
    "fixed B=1": lambda: FixedBatchPolicy(1),
    "stream batch": StreamBatchPolicy,
    "fixed B<=4": lambda: FixedBatchPolicy(4),
    "paper's rule": lambda: PaperPolicy(_new_latency()),
}


def simulate(scenario: Scenario, policy: Callable[[], SchedulingPolicy]) -> Trace:
    """One policy in one scenario; the same seed gives all policies the same arrivals."""
    chance = random.Random(scenario.seed)
    arrivals, noise = random.Random(chance.random()), random.Random(chance.random())
    period_ns = CHUNK_FRAMES * NS_PER_S / scenario.fps
    cameras = [
        SimulatedCamera(
            fps=scenario.fps,
            phase_ns=round(period_ns * (1 + chance.random())),
            jitter_ns=round(scenario.jitter_ms * NS_PER_MS),
            target_ns=round(scenario.target_ms * NS_PER_MS),
            is_asked=scenario.is_asked,
            device=stream % scenario.gpus,
            shape=ChunkShape(level="simulated", steps=scenario.steps),
        )
        for stream in range(scenario.streams)
    ]
    until_ns = round(scenario.seconds * NS_PER_S)
    slow_down = SlowDown(from_ns=until_ns // 3, to_ns=2 * until_ns // 3, factor=scenario.slow_down)
    service = NoisyService(
        scenario.device.lines(), noise=scenario.noise, slow_down=slow_down, rng=noise
    )
    policies = [policy() for _ in range(scenario.gpus)]
    return Simulator(policies, [service] * scenario.gpus, cameras, arrivals).run(until_ns)


def summarise(name: str, trace: Trace, *, until_ns: int, cpu_s: float = 0.0) -> Summary:
    """The figures of a trace.

    Raises:
        ValueError: if no chunk came to its end.
    """
    outcomes = trace.outcomes
    if not outcomes:
        raise ValueError("no chunk came to its end, simulate for longer")
    ages_ns = sorted(outcome.age_ns for outcome in outcomes if outcome.age_ns is not None)
    steps = [taken for taken in trace.passes if taken.stage is Stage.DENOISE]
    return Summary(
        name=name,
        chunks=len(outcomes),
        missed=_share_missed(outcomes),
        dropped=1 - len(ages_ns) / len(outcomes),
        age_p50_ms=_percentile_ms(ages_ns, 50),
        age_p95_ms=_percentile_ms(ages_ns, 95),
        age_p99_ms=_percentile_ms(ages_ns, 99),
        mean_batch=_mean([taken.items for taken in steps]),
        decisions_per_minute=len(trace.passes) / cpu_s * 60 if cpu_s else 0.0,
        batch_by_slice=tuple(
            _mean([taken.items for taken in part])
            for part in _sliced(steps, [taken.started_ns for taken in steps], until_ns)
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


def _sliced(items: Sequence[T], at_ns: Sequence[int], until_ns: int) -> list[list[T]]:
    """The items by the slice of time they fall into."""
    slices: list[list[T]] = [[] for _ in range(SLICES)]
    for item, when_ns in zip(items, at_ns, strict=True):
        slices[min(max(when_ns, 0) * SLICES // until_ns, SLICES - 1)].append(item)
    return slices

"""What is simulated: published device times, scenarios, and the policies compared. Pure."""

import random
from collections.abc import Callable
from dataclasses import dataclass

from slipstream_protocol.clock import NS_PER_MS, NS_PER_S

from slipstream_engine.config import CHUNK_FRAMES
from slipstream_engine.parallel.model_costs import ModelCosts
from slipstream_engine.scheduling.latency_model import LatencyModel, LinearLatency
from slipstream_engine.scheduling.policy import SchedulingPolicy
from slipstream_engine.scheduling.scheduler import Scheduler
from slipstream_engine.scheduling.types import ChunkShape, Stage
from slipstream_engine.simulation.baseline_policies import (
    FixedBatchPolicy,
    PaperPolicy,
    StreamBatchPolicy,
)
from slipstream_engine.simulation.camera import SimulatedCamera
from slipstream_engine.simulation.service_time import NoisyService, SlowDown
from slipstream_engine.simulation.simulator import Simulator
from slipstream_engine.simulation.trace import Trace

SLOW_CASE = "60 % load, twice as slow in the middle third"


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceModel:
    """Milliseconds of a chunk's parts: a pass of B steps takes `pass_ms + step_ms * B`.

    Args:
        blocks: of the transformer, which take equal parts of a pass.
    """

    encode_ms: float
    pass_ms: float
    step_ms: float
    decode_ms: float
    blocks: int = 30

    def lines(self) -> dict[Stage, LinearLatency]:
        """The true time of passes, by stage; sharing gains nothing in the convolutional codec."""
        return {
            Stage.ENCODE: LinearLatency(base_ns=0, per_item_ns=self.encode_ms * NS_PER_MS),
            Stage.DENOISE: LinearLatency(
                base_ns=self.pass_ms * NS_PER_MS, per_item_ns=self.step_ms * NS_PER_MS
            ),
            Stage.DECODE: LinearLatency(base_ns=0, per_item_ns=self.decode_ms * NS_PER_MS),
        }

    def costs(self) -> ModelCosts:
        """The same by blocks, to be shared out over several devices."""
        return ModelCosts(
            encode_ms=self.encode_ms,
            decode_ms=self.decode_ms,
            block_ms=(self.step_ms / self.blocks,) * self.blocks,
            pass_ms=self.pass_ms / self.blocks,
        )

    def stream_batch_ms(self, steps: int) -> float:
        """One chunk under the stream batch; a `load` of 1 is chunks at this distance."""
        return self.encode_ms + self.pass_ms + self.step_ms * steps + self.decode_ms


# one H100, from the StreamDiffusionV2 paper's tables: chunk times with and without stream batch
# give the pass and the step, the plateau on several GPUs gives the decoder
DEVICES = {
    "h100-1.3b-480p": DeviceModel(encode_ms=50.5, pass_ms=26.6, step_ms=30.7, decode_ms=89.5),
    "h100-1.3b-512": DeviceModel(encode_ms=34.5, pass_ms=38.4, step_ms=17.9, decode_ms=61.5),
    "h100-14b-480p": DeviceModel(
        encode_ms=50.5, pass_ms=28.0, step_ms=148.0, decode_ms=89.5, blocks=40
    ),
    "h100-14b-512": DeviceModel(
        encode_ms=34.5, pass_ms=29.0, step_ms=90.0, decode_ms=61.5, blocks=40
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """What is simulated.

    Args:
        device: what each GPU takes for a chunk.
        gpus: how many; stream `i` is served by GPU `i` modulo their number.
        streams, steps: number of streams, and of each chunk's denoising steps.
        load: chunks offered, as a share of what the stream batch could do.
        noise: standard deviation of a pass, as a share of its mean.
        jitter_ms: mean delay of a chunk's arrival.
        target_ms: age of a chunk's oldest frame beyond which it is missed.
        slow_down: factor on all passes in the middle third; 1 for none.
        seconds: simulated time.
        seed: of all that is drawn at random.
        waits_for_credit: frames wait at the camera until the stream has a credit, as the server's
            do.

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
    waits_for_credit: bool = False

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
    """The cases of the published comparison, on one H100 unless named otherwise."""
    h100 = DEVICES["h100-1.3b-512"]
    return {
        "90 % load": Scenario(device=h100, seconds=seconds),
        "90 % load, target 780 ms": Scenario(device=h100, target_ms=780, seconds=seconds),
        "110 % load": Scenario(device=h100, load=1.1, seconds=seconds),
        "150 % load": Scenario(device=h100, load=1.5, seconds=seconds),
        "two GPUs, six streams, 110 % load": Scenario(
            device=h100, gpus=2, streams=6, load=1.1, seconds=seconds
        ),
        "150 % load, frames wait for credits": Scenario(
            device=h100, load=1.5, waits_for_credit=True, seconds=seconds
        ),
        SLOW_CASE: Scenario(
            device=h100, streams=2, load=0.6, slow_down=2, target_ms=1300, seconds=seconds
        ),
    }


def _new_latency() -> LatencyModel:
    """A model without a single observation."""
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
    seeds = random.Random(scenario.seed)
    arrivals, noise = random.Random(seeds.random()), random.Random(seeds.random())
    period_ns = CHUNK_FRAMES * NS_PER_S / scenario.fps
    cameras = [
        SimulatedCamera(
            fps=scenario.fps,
            phase_ns=round(period_ns * (1 + seeds.random())),
            jitter_ns=round(scenario.jitter_ms * NS_PER_MS),
            target_ns=round(scenario.target_ms * NS_PER_MS),
            waits_for_credit=scenario.waits_for_credit,
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

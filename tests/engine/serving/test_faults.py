"""What a failure of a pass costs: its own streams, once each, and nothing that was learnt."""

import contextlib
from collections.abc import Iterator, Sequence

import pytest
from slipstream_engine.scheduling.latency_model import LatencyModel, LinearLatency
from slipstream_engine.scheduling.types import PassKind, Stage
from slipstream_engine.serving.calibration import calibrate, latency_of
from slipstream_protocol.messages import (
    ChunkOut,
    Failed,
    OpenStream,
    StreamOpened,
    StreamRefused,
)
from slipstream_protocol.parameters import Parameters

from tests.engine.loop_harness import LoopHarness
from tests.engine.paint_pipeline import LAYOUT, LEVEL, PaintPipeline, PaintStream

SLOW = LinearLatency(base_ns=0, per_item_ns=30_000_000)
DENOISE = PassKind(stage=Stage.DENOISE, level=LEVEL)


class NotedStream(PaintStream):
    """Notes each text that it is to show."""

    def __init__(self, parameters: Parameters, prompted: list[str]) -> None:
        self._prompted = prompted
        super().__init__(parameters)

    def apply(self, parameters: Parameters) -> None:
        self._prompted += [prompt.text for prompt in parameters.target or ()]
        super().apply(parameters)


class Recorder(PaintPipeline):
    """Its streams note their prompts; after an error its device may stay broken."""

    def __init__(self, *, stays_broken: bool = False) -> None:
        self.prompted: list[str] = []
        self._stays_broken = stays_broken
        self._is_broken = False

    def open(self, parameters: Parameters) -> PaintStream:
        return NotedStream(self.defaults.merged(parameters), self.prompted)

    def denoise(self, chunks: Sequence[list[int]]) -> None:
        try:
            super().denoise(chunks)
        except RuntimeError:
            self._is_broken = self._stays_broken
            raise

    def finish(self) -> None:
        if self._is_broken:
            raise RuntimeError("CUDA error: an illegal memory access was encountered")


@contextlib.contextmanager
def serving(pipeline: PaintPipeline, latency: LatencyModel) -> Iterator[LoopHarness]:
    harness = LoopHarness(pipeline, LAYOUT, latency=latency)
    with contextlib.closing(harness):
        harness.receive()
        yield harness


def test_a_failed_pass_teaches_nothing() -> None:
    """Its duration is not that of a pass; those that ran are learnt."""
    latency = LatencyModel(SLOW)
    with serving(PaintPipeline(), latency) as harness:
        harness.open(0, prompt="fail")
        harness.send(harness.chunk(0, 0))
        assert isinstance(harness.receive(), Failed)
        assert latency.samples(DENOISE) == 0
        harness.open(0, prompt="fine")
        harness.send(harness.chunk(0, 0))
        assert isinstance(harness.receive(), ChunkOut)
        assert latency.samples(DENOISE) == 2


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_device_that_stays_broken_ends_the_engine() -> None:
    """The whole engine is reported, not stream after stream."""
    harness = LoopHarness(Recorder(stays_broken=True), LAYOUT)
    with contextlib.closing(harness):
        harness.receive()
        harness.open(0, prompt="fail")
        harness.open(1)
        harness.send(harness.chunk(0, 0))
        assert harness.receive() == Failed(
            lane=-1,
            reason="the device answers nothing any more, the engine must start again: "
            "RuntimeError: the model broke",
        )
        harness.wait()


def test_a_refused_stream_submits_no_prompt() -> None:
    """Others do not wait for the text of a stream that never was."""
    pipeline = Recorder()
    with serving(pipeline, LatencyModel(SLOW)) as harness:
        for lane, prompt in enumerate(("first", "second")):
            harness.send(
                OpenStream(lane=lane, parameters=Parameters(prompt=prompt), period_ns=150_000_000)
            )
        assert isinstance(harness.receive(), StreamOpened)
        assert isinstance(harness.receive(), StreamRefused)
    assert pipeline.prompted == ["first"]


def test_nothing_is_shared_in_the_codecs_passes() -> None:
    """Streams are encoded and decoded one by one: two take twice as long as one."""
    latency = latency_of([calibrate(PaintPipeline())])
    for stage in (Stage.ENCODE, Stage.DECODE):
        line = latency.line(PassKind(stage=stage, level=LEVEL))
        assert line.at(2) == pytest.approx(2 * line.at(1))
    assert latency.line(DENOISE).base_ns > 0

"""serving/submitted_passes.py and device/transfer.py: a device that never waits for the host."""

import contextlib
import math
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from slipstream_engine.device.transfer import Download, Fetch, Upload
from slipstream_engine.serving import submitted_passes
from slipstream_protocol.arena import Layout
from slipstream_protocol.frames import I420, Geometry
from slipstream_protocol.messages import (
    ChunkOut,
    CloseStream,
    Failed,
    Ready,
    StreamClosed,
)
from slipstream_protocol.parameters import Parameters
from torch import Tensor

from tests.engine.loop_harness import LoopHarness
from tests.engine.paint_pipeline import GEOMETRY, PaintPipeline, PaintStream
from tests.engine.virtual_device import VirtualClock, VirtualEvent, VirtualStream, VirtualStreams

CPU = torch.device("cpu")
PASS_MS, COPY_MS, PASSES_OF_CHUNK = 30.0, 10.0, 4
CHUNKS = 8
LAYOUT = Layout(geometry=GEOMETRY, lanes=2, in_slots=CHUNKS, out_slots=CHUNKS)


class VirtualDevice:
    """A clock, streams, the copies between them, and when each chunk was delivered."""

    def __init__(self, geometry: Geometry) -> None:
        self.clock = VirtualClock()
        self.compute = VirtualStream(clock=self.clock)
        shape = (geometry.first_chunk_frames, *geometry.frame_shape)
        streams = [
            VirtualStreams(clock=self.clock, compute=self.compute, copy_ms=COPY_MS)
            for _ in range(2)
        ]
        self.upload = Upload(math.prod(shape), CPU, streams[0])
        self.download = Download(math.prod(shape), CPU, streams[1])
        self.delivered_ms: list[float] = []

    def submitted(self) -> VirtualEvent:
        event = VirtualEvent(clock=self.clock)
        event.record(self.compute)
        return event


class TimedFetch:
    """Notes when frames are delivered, in virtual time."""

    def __init__(self, device: VirtualDevice, fetch: Fetch) -> None:
        self._device = device
        self._fetch = fetch
        self.discard = fetch.discard

    def finish(self) -> None:
        self._fetch.finish()
        self._device.delivered_ms.append(self._device.clock.now_ms)


class VirtualStreamOfFrames(PaintStream):
    """Gives back its frames, inverted."""

    def __init__(self, device: VirtualDevice, parameters: Parameters) -> None:
        super().__init__(parameters)
        self._device = device
        self._made: list[Tensor] = []

    def encode(self, frames_THW: I420) -> list[int]:
        with self._device.upload.sent(frames_THW) as sent_THW:
            self._made.append(255 - sent_THW)
            self._device.compute.run(PASS_MS)
        return super().encode(frames_THW)

    def decode(self, chunk: list[int], out_THW: I420) -> TimedFetch:  # type: ignore[override]
        self._device.compute.run(PASS_MS)
        fetch = self._device.download.fetch(self._made.pop(0), out_THW)
        assert fetch is not None
        return TimedFetch(self._device, fetch)


class VirtualPipeline(PaintPipeline):
    """A pipeline on a virtual device."""

    def __init__(self) -> None:
        self.device = VirtualDevice(self.geometry)

    def open(self, parameters: Parameters) -> VirtualStreamOfFrames:
        return VirtualStreamOfFrames(self.device, self.defaults.merged(parameters))

    def denoise(self, chunks: Sequence[list[int]]) -> None:
        super().denoise(chunks)
        self.device.compute.run(PASS_MS)

    def submitted(self) -> VirtualEvent:  # type: ignore[override]
        return self.device.submitted()


def frames(harness: LoopHarness, number: int, slot: int) -> I420:
    """Write chunk `number` to its input slot."""
    view = harness.arena.input(0, slot)[: GEOMETRY.frames_of(number)]
    view[...] = np.random.default_rng(number).integers(0, 256, view.shape, dtype=np.uint8)
    return view.copy()


def serve(pipeline: VirtualPipeline) -> list[float]:
    """One stream whose chunks are all there from the start; checks every frame that comes back.

    Returns:
        Milliseconds from one chunk's delivery to the next, without the first ones.
    """
    harness = LoopHarness(pipeline, LAYOUT)
    with contextlib.closing(harness):
        assert isinstance(harness.receive(), Ready)
        harness.open(0)
        sent = [frames(harness, number, number) for number in range(CHUNKS)]
        harness.send(
            *(harness.chunk(0, number, slot=number, ahead_ns=10**12) for number in range(CHUNKS))
        )
        for expected in sent:
            while not isinstance(message := harness.receive(), ChunkOut):
                assert not isinstance(message, Failed)
            made = harness.arena.output(0, message.slot)[: message.frames]
            assert np.array_equal(made, 255 - expected)
    return np.diff(pipeline.device.delivered_ms[2:]).tolist()


def test_copies_cost_nothing_beside_passes() -> None:
    """Passes of 30 ms with copies of 10 ms each way: the device ends a pass every 30 ms."""
    periods_ms = serve(VirtualPipeline())
    assert periods_ms == pytest.approx([PASS_MS * PASSES_OF_CHUNK] * len(periods_ms))


def test_one_pass_at_a_time_would_wait_for_copies(monkeypatch: pytest.MonkeyPatch) -> None:
    """The virtual device shows the wait: with no pass behind the one that runs, copies add up."""
    monkeypatch.setattr(submitted_passes, "MOST_PASSES", 1)
    periods_ms = serve(VirtualPipeline())
    expected_ms = PASS_MS * PASSES_OF_CHUNK + 2 * COPY_MS
    assert periods_ms == pytest.approx([expected_ms] * len(periods_ms))


def test_a_closed_stream_gets_nothing_more() -> None:
    """A stream that is closed while its passes run answers with its closing alone, and its output
    slots are the next stream's."""
    harness = LoopHarness(VirtualPipeline(), LAYOUT)
    with contextlib.closing(harness):
        assert isinstance(harness.receive(), Ready)
        harness.open(0)
        frames(harness, 0, 0)
        harness.send(harness.chunk(0, 0, ahead_ns=10**12), CloseStream(lane=0))
        while not isinstance(message := harness.receive(), StreamClosed):
            assert not isinstance(message, Failed)
        harness.open(0)
        expected = 255 - frames(harness, 0, 0)
        harness.send(harness.chunk(0, 0, ahead_ns=10**12))
        while not isinstance(message := harness.receive(), ChunkOut):
            assert not isinstance(message, Failed)
        assert np.array_equal(harness.arena.output(0, message.slot)[: message.frames], expected)


def test_a_failing_pass_closes_its_stream_only_once() -> None:
    """Its failure is told before another of its passes is chosen; the other stream goes on."""
    harness = LoopHarness(VirtualPipeline(), LAYOUT)
    with contextlib.closing(harness):
        assert isinstance(harness.receive(), Ready)
        harness.open(0)
        harness.open(1, prompt="fail")
        frames(harness, 0, 0)
        harness.send(harness.chunk(1, 0, ahead_ns=10**12), harness.chunk(0, 0, ahead_ns=10**12))
        failures, outputs = 0, 0
        while not outputs:
            message = harness.receive()
            failures += isinstance(message, Failed)
            outputs += isinstance(message, ChunkOut)
        assert failures == 1

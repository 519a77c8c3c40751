"""Streams whose pictures change their size, through the real loop: the chunk says its size."""

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
import pytest
from msgspec import structs
from slipstream_engine.scheduling.latency_model import LatencyModel, LinearLatency
from slipstream_engine.serving.calibration import calibrate, latency_of
from slipstream_engine.serving.ready import longest_chunk_ms
from slipstream_protocol.arena import Layout
from slipstream_protocol.clock import NS_PER_S
from slipstream_protocol.frames import FrameSize
from slipstream_protocol.messages import ChunkIn, ChunkOut, Failed, Ready, SlotFree, ToServer
from slipstream_protocol.parameters import Parameters

from tests.engine.diffusion.test_sizes import OWN, SMALL, UPRIGHT, frames, pipeline, run
from tests.engine.loop_harness import NEVER_NS, LaneClient, LoopHarness, run_clients
from tests.engine.paint_pipeline import GEOMETRY, LAYOUT, PaintPipeline

CHANGES = {0: OWN, 5: UPRIGHT, 9: SMALL, 13: OWN}
CHUNKS = 18


@dataclass(kw_only=True)
class SizedClient(LaneClient):
    """Its chunks have the size that `changes` names last."""

    changes: Mapping[int, FrameSize]
    sizes_back: list[FrameSize] = field(default_factory=list)

    def size_of(self, number: int) -> FrameSize:
        return self.changes[max(at for at in self.changes if at <= number)]

    def send_chunks(self) -> None:
        while self._free_slots and self.sent < self.chunks:
            size, slot = self.size_of(self.sent), self._free_slots.pop(0)
            chunk = frames(size, self.sent, is_first=self.sent in self.changes)
            self.harness.arena.input(self.lane, slot, size)[: len(chunk)] = chunk
            message = self.harness.chunk(self.lane, self.sent, slot=slot, ahead_ns=NEVER_NS)
            self.harness.send(structs.replace(message, frames=len(chunk), size=size))
            self.sent += 1

    def handle(self, message: ToServer) -> None:
        if isinstance(message, ChunkOut):
            self.sizes_back.append(message.size)
            view = self.harness.arena.output(self.lane, message.slot, message.size)
            super().handle(message)
            self.generated[message.chunk] = view[: message.frames].copy()
            return
        super().handle(message)


@contextlib.contextmanager
def serving(*, in_slots: int = 1) -> Iterator[LoopHarness]:
    served = pipeline(lanes=2)
    layout = Layout(geometry=served.geometry, lanes=2, in_slots=in_slots, out_slots=2)
    harness = LoopHarness(served, layout)
    with contextlib.closing(harness):
        ready = harness.receive()
        assert isinstance(ready, Ready)
        assert {one.size for one in ready.sizes} == {OWN, SMALL, UPRIGHT}
        yield harness


@pytest.mark.parametrize("slots", [1, 2])
def test_a_stream_changes_its_size_between_two_chunks(slots: int) -> None:
    """each stretch is that of a stream opened at its size, whatever the other lane does, and
    whether or not a chunk waits for the one before it."""
    with serving(in_slots=slots) as harness:
        harness.open(0)
        harness.open(1)
        one = SizedClient(harness=harness, lane=0, chunks=CHUNKS, slots=slots, changes=CHANGES)
        two = SizedClient(
            harness=harness, lane=1, chunks=CHUNKS, slots=slots, changes={0: UPRIGHT, 7: OWN}
        )
        assert not run_clients(one, two)
    for client in (one, two):
        assert client.sizes_back == [client.size_of(number) for number in range(CHUNKS)]
        ends = [*list(client.changes)[1:], CHUNKS]
        for start, end in zip(client.changes, ends, strict=True):
            size = client.changes[start]
            alone = run(pipeline().open(Parameters()), size, range(start, end))
            for number, theirs in enumerate(alone, start):
                assert np.array_equal(client.generated[number], theirs), (size, number)


def test_a_size_that_is_not_offered_ends_its_stream_alone() -> None:
    """with those that are."""
    with serving() as harness:
        harness.open(0)
        harness.open(1)
        harness.send(structs.replace(harness.chunk(0, 0), size=FrameSize(24, 24)))
        failed = harness.receive()
        assert isinstance(failed, Failed)
        assert (failed.lane, failed.reason) == (
            0,
            "ValueError: frames are 24x24, this model has 16x16, 16x48, 32x32",
        )
        other = SizedClient(harness=harness, lane=1, chunks=2, changes={0: SMALL})
        assert not run_clients(other)


def test_the_first_chunk_of_a_size_is_rather_late_than_left_out() -> None:
    """no other has its length: the stream could not go on."""
    slow = LinearLatency(base_ns=0, per_item_ns=100 * NS_PER_S)
    harness = LoopHarness(PaintPipeline(), LAYOUT, latency=LatencyModel(slow))
    with contextlib.closing(harness):
        harness.receive()
        harness.open(0)
        upright = PaintPipeline.sizes[1].size
        for number, size in enumerate((GEOMETRY.size, upright)):
            late: ChunkIn = harness.chunk(0, number, ahead_ns=-NS_PER_S)
            harness.send(structs.replace(late, frames=5, size=size))
            answers = [harness.receive(), harness.receive()]
            assert {type(one) for one in answers} == {SlotFree, ChunkOut}


def test_a_size_that_was_not_measured_is_forecast_by_its_pixels() -> None:
    """so that streams are admitted and moved by it before anybody has it."""
    served = pipeline()
    latency = latency_of([calibrate(served)], [one.size for one in served.sizes])
    own, upright, small = (
        longest_chunk_ms(latency, steps=2, size=size) for size in (OWN, UPRIGHT, SMALL)
    )
    assert upright == pytest.approx(own * 3 / 4, rel=0.4)
    assert small == pytest.approx(own / 4, rel=0.4)

"""serving/loop.py over a real channel: order, isolation, bounded work."""

import contextlib
import threading
from collections.abc import Hashable, Iterator, Sequence

import msgspec
import numpy as np
import pytest
from slipstream_engine.scheduling.latency_model import LatencyModel, LinearLatency
from slipstream_engine.scheduling.types import PassKind, Stage
from slipstream_engine.serving.calibration import calibrate, latency_of
from slipstream_engine.serving.executor import PassExecutor
from slipstream_engine.serving.stream_slot import InFlightChunk, StreamSlot
from slipstream_protocol.arena import Slots
from slipstream_protocol.levels import parse_levels
from slipstream_protocol.messages import (
    Applied,
    ChunkDropped,
    ChunkOut,
    CloseStream,
    Failed,
    OfferedSize,
    OpenStream,
    Ready,
    SlotFree,
    SlotRead,
    Stop,
    StreamClosed,
    StreamRefused,
    Update,
    UpdateRefused,
    Vocabulary,
)
from slipstream_protocol.parameters import Parameters

from tests.engine.loop_harness import LoopHarness
from tests.engine.paint_pipeline import FULL_SEED, GEOMETRY, LAYOUT, LEVEL, UPRIGHT, PaintPipeline


@pytest.fixture
def harness() -> Iterator[LoopHarness]:
    harness = LoopHarness(PaintPipeline(), LAYOUT)
    with contextlib.closing(harness):
        assert isinstance(harness.receive(), Ready)
        yield harness


def test_the_server_learns_all_of_the_pipeline() -> None:
    """each field of the message is the pipeline's, or the layout's."""
    harness = LoopHarness(PaintPipeline(), LAYOUT)
    with contextlib.closing(harness):
        ready = harness.receive()
        assert isinstance(ready, Ready)
        assert msgspec.structs.replace(ready, chunk_ms=0) == Ready(
            pipeline="paint",
            preset="none",
            geometry=GEOMETRY,
            lanes=3,
            in_slots=LAYOUT.in_slots,
            out_slots=LAYOUT.out_slots,
            defaults=Parameters(seed=1),
            step_list=(1000,),
            noise_scale_range=(0.0, 1.0),
            vocabulary=Vocabulary(styles=("plain",)),
            note="paints",
            levels=parse_levels("1,1@9"),
            fps=12.0,
            sizes=tuple(OfferedSize(size=size, scale_px=4) for size in (GEOMETRY.size, UPRIGHT)),
        )


def test_the_server_learns_how_long_a_chunk_takes() -> None:
    """what was measured at the start; the server takes an engine slower than that for hung."""
    kinds: dict[Hashable, LinearLatency] = {
        PassKind(stage=stage, level=LEVEL): LinearLatency(base_ns=0, per_item_ns=2e6)
        for stage in Stage
    }
    harness = LoopHarness(
        PaintPipeline(),
        LAYOUT,
        latency=LatencyModel(LinearLatency(base_ns=0, per_item_ns=1e6), kinds),
    )
    with contextlib.closing(harness):
        ready = harness.receive()
        assert isinstance(ready, Ready)
        assert ready.chunk_ms == pytest.approx(6)


def test_a_chunk_comes_back_and_frees_its_slot(harness: LoopHarness) -> None:
    """the answer names the slot, the revision and the stages; then the input slot is free."""
    harness.open(0, seed=42)
    harness.send(harness.chunk(0, 0))
    out = harness.receive()
    assert isinstance(out, ChunkOut)
    assert (out.chunk, out.frames, out.rev) == (0, 5, -1)
    assert min(out.stages.encode_ms, out.stages.denoise_ms, out.stages.decode_ms) > 0
    assert out.taken_ns <= out.made_ns
    assert np.all(harness.arena.output(0, out.slot) == 42)
    assert harness.receive() == SlotFree(lane=0, slot=0)


def test_defaults_hold_where_nothing_else_is_given(harness: LoopHarness) -> None:
    """a stream starts from the pipeline's defaults under the values it is opened with."""
    harness.open(0)
    harness.send(harness.chunk(0, 0))
    out = harness.receive()
    assert isinstance(out, ChunkOut)
    assert np.all(harness.arena.output(0, out.slot) == 1)


def test_an_update_applies_to_chunks_after_it(harness: LoopHarness) -> None:
    """what is sent before a chunk applies to it, what is sent after does not."""
    harness.open(0)
    first = Update(lane=0, parameters=Parameters(seed=10, prompt="a", rev=1))
    second = Update(lane=0, parameters=Parameters(seed=20, rev=2))
    harness.send(first, harness.chunk(0, 0), second, harness.chunk(0, 1))
    received = [harness.receive() for _ in range(6)]
    applied = [message for message in received if isinstance(message, Applied)]
    assert [msgspec.structs.replace(message, alone_ms=0.0) for message in applied] == [
        Applied(lane=0, rev=1, chunk=0, understood="paints a"),
        Applied(lane=0, rev=2, chunk=1, understood="paints a"),
    ]
    zero, one = (message for message in received if isinstance(message, ChunkOut))
    assert (zero.rev, one.rev) == (1, 2)
    assert np.all(harness.arena.output(0, zero.slot)[:5] == 10)
    assert np.all(harness.arena.output(0, one.slot)[:4] == 20)


def test_a_refused_update_changes_nothing(harness: LoopHarness) -> None:
    """the reason comes back and the revision stays."""
    harness.open(0)
    harness.send(Update(lane=0, parameters=Parameters(prompt="refuse", rev=5)), harness.chunk(0, 0))
    assert harness.receive() == UpdateRefused(
        lane=0, rev=5, reason="prompt is refuse, this model does not know it"
    )
    out = harness.receive()
    assert isinstance(out, ChunkOut)
    assert out.rev == -1


def test_a_client_that_reads_no_output_holds_up_only_itself(harness: LoopHarness) -> None:
    """without a free output slot a chunk waits uncomputed, and the other lanes go on."""
    harness.open(0)
    harness.open(1)
    for number in range(3):
        harness.send(harness.chunk(0, number))
    slots = [
        message.slot
        for message in (harness.receive(), harness.receive(), harness.receive())
        if isinstance(message, ChunkOut)
    ]
    assert harness.receive() == SlotFree(lane=0, slot=0)
    harness.send(harness.chunk(1, 0))
    other = harness.receive()
    assert isinstance(other, ChunkOut) and other.lane == 1
    harness.receive()
    harness.send(SlotRead(lane=0, slot=slots[0]))
    late = harness.receive()
    assert isinstance(late, ChunkOut)
    assert (late.lane, late.chunk) == (0, 2)


class GatedPipeline(PaintPipeline):
    """No step is run while the gate is shut."""

    def __init__(self) -> None:
        self.gate = threading.Event()

    def denoise(self, chunks: Sequence[list[int]]) -> None:
        assert self.gate.wait(20), "the gate stays shut"
        super().denoise(chunks)


def test_credits_are_granted_one_at_a_time_as_the_last_chunk_ends() -> None:
    """on a busy engine no chunk waits for three others: a slot is given back only as the device is
    about to have nothing to begin, one at a time; and all are as soon as it has nothing to do."""
    pipeline = GatedPipeline()
    harness = LoopHarness(pipeline, LAYOUT)
    with contextlib.closing(harness):
        harness.receive()
        for lane in range(3):
            harness.open(lane)
        harness.send(*(harness.chunk(lane, 0) for lane in range(3)))
        pipeline.gate.set()
        received = [harness.receive() for _ in range(6)]
    order = [(type(message), message.lane) for message in received]  # type: ignore[union-attr]
    assert order == [
        (ChunkOut, 0),
        (ChunkOut, 1),
        (SlotFree, 0),
        (ChunkOut, 2),
        (SlotFree, 1),
        (SlotFree, 2),
    ]


def test_a_held_chunk_is_dropped_without_a_message_to_wake_the_loop() -> None:
    """a chunk of a client that reads no output is dropped at its deadline, beside a stream that has
    nothing to do, without a message that would wake the loop."""
    pipeline = PaintPipeline()
    latency = latency_of([calibrate(pipeline)])
    harness = LoopHarness(pipeline, LAYOUT, age_target_ns=200_000_000, latency=latency)
    with contextlib.closing(harness):
        harness.receive()
        harness.open(0)
        harness.open(1)
        for number in range(2):
            harness.send(harness.chunk(0, number))
            assert isinstance(harness.receive(), ChunkOut)
            assert isinstance(harness.receive(), SlotFree)
        harness.send(harness.chunk(0, 2))
        assert harness.receive() == ChunkDropped(lane=0, slot=0, chunk=2)


def test_an_update_without_a_number_is_refused_without_one(harness: LoopHarness) -> None:
    """minus one stands for it, as where it is applied."""
    harness.open(0)
    harness.send(*(Update(lane=0, parameters=Parameters(prompt="refuse")) for _ in range(2)))
    assert harness.receive() == UpdateRefused(
        lane=0, rev=-1, reason="prompt is refuse, this model does not know it"
    )
    harness.receive()
    for number in range(2):
        harness.send(harness.chunk(0, number))
        harness.receive()
        harness.receive()
    harness.send(harness.chunk(0, 2))
    harness.send(*(Update(lane=0, parameters=Parameters(seed=n)) for n in range(65)))
    refused = harness.receive()
    assert isinstance(refused, UpdateRefused) and refused.rev == -1
    assert refused.reason.startswith("64 messages wait")


def test_a_stream_that_fails_ends_alone(harness: LoopHarness) -> None:
    """the reason is reported, the other stream goes on, and the lane can be opened again."""
    harness.open(0, prompt="fail")
    harness.open(1, seed=9)
    harness.send(harness.chunk(0, 0), harness.chunk(0, 1), harness.chunk(1, 0))
    assert harness.receive() == Failed(lane=0, reason="RuntimeError: the model broke")
    out = harness.receive()
    assert isinstance(out, ChunkOut) and out.lane == 1
    harness.receive()
    harness.send(CloseStream(lane=0))
    assert harness.receive() == StreamClosed(lane=0)
    harness.open(0)


def test_refusals_say_why_and_when(harness: LoopHarness) -> None:
    """a full engine, a taken lane and a lane that is not there are refused in words."""
    harness.send(OpenStream(lane=0, parameters=Parameters(seed=FULL_SEED)))
    refused = harness.receive()
    assert isinstance(refused, StreamRefused)
    assert refused.reason == "no memory for another stream" and refused.retry_after_s > 0
    harness.open(0)
    harness.send(OpenStream(lane=0, parameters=Parameters()))
    refused = harness.receive()
    assert isinstance(refused, StreamRefused)
    assert refused.retry_after_s == 0, "it would be refused again"
    harness.send(OpenStream(lane=3, parameters=Parameters()))
    assert isinstance(harness.receive(), StreamRefused)


def test_a_chunk_out_of_order_ends_its_stream(harness: LoopHarness) -> None:
    """a lost chunk is detected."""
    harness.open(0)
    harness.send(harness.chunk(0, 3))
    assert harness.receive() == Failed(lane=0, reason="ValueError: chunk is 3, 0 is next")


def test_messages_for_closed_streams_are_ignored(harness: LoopHarness) -> None:
    """messages that crossed a close on the way have no effect."""
    harness.send(
        harness.chunk(2, 0),
        SlotRead(lane=2, slot=0),
        Update(lane=2, parameters=Parameters(seed=1)),
        CloseStream(lane=2),
    )
    assert harness.receive() == StreamClosed(lane=2)


def test_stop_ends_the_loop(harness: LoopHarness) -> None:
    """the loop returns on request, and by itself when the server hangs up."""
    harness.send(Stop())
    harness.wait()


def test_streams_that_share_a_pass_share_its_failure(harness: LoopHarness) -> None:
    """none of their caches can be trusted after it; a stream that was not in it is not affected."""
    pipeline = PaintPipeline()
    device = PassExecutor(pipeline, harness.arena)
    work = []
    for number, prompt in enumerate(("fine", "fail", "fine")):
        stream = pipeline.open(Parameters(prompt=prompt))
        slot = StreamSlot(
            lane=number,
            pipeline_stream=stream,
            size=GEOMETRY.size,
            outputs=Slots(2, owned=True),
        )
        work.append((slot, InFlightChunk[list[int]](message=harness.chunk(number, 0))))
    assert not device.submit(Stage.ENCODE, work).failures
    assert device.submit(Stage.DENOISE, work[:2]).failures == dict.fromkeys(
        (0, 1), "RuntimeError: the model broke"
    )
    assert not device.submit(Stage.DENOISE, work[2:]).failures
    assert device.submit(Stage.DECODE, work[2:]).failures == {}


def test_a_calibration_knows_every_stage() -> None:
    """each stage of a steady chunk has been observed often enough to be trusted."""
    latency = latency_of([calibrate(PaintPipeline())])
    for stage in Stage:
        kind = PassKind(stage=stage, level=LEVEL)
        assert latency.samples(kind) >= 3
        assert latency.line(kind).at(1) < 1_000_000

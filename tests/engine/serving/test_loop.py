"""The engine's loop, spoken to over a real channel: order, isolation, bounded work."""

import contextlib
import threading
from collections.abc import Hashable, Iterator, Sequence

import msgspec
import numpy as np
import pytest
from msgspec import UNSET
from slipstream_engine.errors import AdmissionError
from slipstream_engine.scheduling.latency_model import LatencyModel, LinearLatency
from slipstream_engine.scheduling.types import ChunkShape, PassKind, Stage
from slipstream_engine.serving.calibration import calibrate
from slipstream_engine.serving.executor import PassExecutor
from slipstream_engine.serving.stream_slot import InFlightChunk, StreamSlot
from slipstream_protocol.arena import Layout, Slots
from slipstream_protocol.frames import I420, Geometry
from slipstream_protocol.messages import (
    Applied,
    ChunkDropped,
    ChunkOut,
    CloseStream,
    Failed,
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
from slipstream_protocol.parameters import Parameters, Prompt, Prompts

from tests.engine.far_end import FarEnd

GEOMETRY = Geometry(width_px=8, height_px=4, first_chunk_frames=5, chunk_frames=4)
LAYOUT = Layout(geometry=GEOMETRY, lanes=3, in_slots=1, out_slots=2)


class PaintStream:
    """Fills its output with its seed; its dials: a prompt of `fail` raises, `refuse` is refused."""

    def __init__(self, parameters: Parameters) -> None:
        self.prompts: Prompts = (Prompt(""),)
        self.value = 0
        self.apply(parameters)

    def apply(self, parameters: Parameters) -> None:
        if parameters.prompt == "refuse":
            raise ValueError("prompt is refuse, this model does not know it")
        if parameters.target is not UNSET:
            self.prompts = parameters.target
        if parameters.seed is not UNSET:
            self.value = parameters.seed

    @property
    def shape(self) -> ChunkShape:
        return ChunkShape(level="paint", steps=2)

    steady_shape = shape

    def encode(self, frames_THW: I420) -> list[int]:
        return [self.value, self.prompts[0].text == "fail"]

    def decode(self, chunk: list[int], out_THW: I420) -> None:
        out_THW[:] = chunk[0]

    def close(self) -> None:
        pass


class PaintPipeline:
    name = "paint"
    preset = "none"
    max_batch = 1
    geometry = GEOMETRY
    defaults = Parameters(seed=1)
    step_list = (1000,)
    noise_scale_range = (0.0, 1.0)
    vocabulary = Vocabulary(styles=("plain",))
    note = "paints"

    def understood(self, prompts: Prompts) -> str:
        return f"paints {prompts[0].text}"

    def warm_up(self) -> None:
        pass

    def open(self, parameters: Parameters) -> PaintStream:
        if parameters.prompt == "full":
            raise AdmissionError("no memory for another stream")
        return PaintStream(self.defaults.merged(parameters))

    def denoise(self, chunks: Sequence[list[int]]) -> None:
        if any(fails for _, fails in chunks):
            raise RuntimeError("the model broke")

    def finish(self) -> None:
        pass

    def close(self) -> None:
        pass


@pytest.fixture
def far_end() -> Iterator[FarEnd]:
    end = FarEnd(PaintPipeline(), LAYOUT)
    with contextlib.closing(end):
        assert isinstance(end.receive(), Ready)
        yield end


def test_the_server_learns_all_of_the_pipeline() -> None:
    """each field of the message is the pipeline's, or the layout's."""
    end = FarEnd(PaintPipeline(), LAYOUT)
    with contextlib.closing(end):
        ready = end.receive()
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
        )


@pytest.mark.xfail(strict=True, reason="the engine does not send it yet")
def test_the_server_learns_how_long_a_chunk_takes() -> None:
    """what was measured at the start; the server takes an engine slower than that for hung."""
    kinds: dict[Hashable, LinearLatency] = {
        PassKind(stage=stage, level="paint"): LinearLatency(base_ns=0, per_item_ns=2e6)
        for stage in Stage
    }
    end = FarEnd(
        PaintPipeline(),
        LAYOUT,
        latency=LatencyModel(LinearLatency(base_ns=0, per_item_ns=1e6), kinds),
    )
    with contextlib.closing(end):
        ready = end.receive()
        assert isinstance(ready, Ready)
        assert ready.chunk_ms == pytest.approx(6)


def test_a_chunk_comes_back_and_frees_its_slot(far_end: FarEnd) -> None:
    """the answer names the slot, the revision and the stages; then the input slot is free."""
    far_end.open(0, seed=42)
    far_end.send(far_end.chunk(0, 0))
    out = far_end.receive()
    assert isinstance(out, ChunkOut)
    assert (out.chunk, out.frames, out.rev) == (0, 5, -1)
    assert min(out.stages.encode_ms, out.stages.denoise_ms, out.stages.decode_ms) > 0
    assert out.taken_ns <= out.made_ns
    assert np.all(far_end.arena.output(0, out.slot) == 42)
    assert far_end.receive() == SlotFree(lane=0, slot=0)


def test_defaults_hold_where_the_viewer_names_nothing(far_end: FarEnd) -> None:
    """a stream starts from the pipeline's defaults under the viewer's own values."""
    far_end.open(0)
    far_end.send(far_end.chunk(0, 0))
    out = far_end.receive()
    assert isinstance(out, ChunkOut)
    assert np.all(far_end.arena.output(0, out.slot) == 1)


def test_an_update_applies_to_chunks_after_it(far_end: FarEnd) -> None:
    """what is sent before a chunk applies to it, what is sent after does not."""
    far_end.open(0)
    first = Update(lane=0, parameters=Parameters(seed=10, prompt="a", rev=1))
    second = Update(lane=0, parameters=Parameters(seed=20, rev=2))
    far_end.send(first, far_end.chunk(0, 0), second, far_end.chunk(0, 1))
    heard = [far_end.receive() for _ in range(6)]
    assert [message for message in heard if isinstance(message, Applied)] == [
        Applied(lane=0, rev=1, chunk=0, prompts=(Prompt("a"),), understood="paints a"),
        Applied(lane=0, rev=2, chunk=1, prompts=(Prompt("a"),), understood="paints a"),
    ]
    zero, one = (message for message in heard if isinstance(message, ChunkOut))
    assert (zero.rev, one.rev) == (1, 2)
    assert np.all(far_end.arena.output(0, zero.slot)[:5] == 10)
    assert np.all(far_end.arena.output(0, one.slot)[:4] == 20)


def test_a_refused_update_changes_nothing(far_end: FarEnd) -> None:
    """the reason comes back and the revision stays."""
    far_end.open(0)
    far_end.send(Update(lane=0, parameters=Parameters(prompt="refuse", rev=5)), far_end.chunk(0, 0))
    assert far_end.receive() == UpdateRefused(
        lane=0, rev=5, reason="prompt is refuse, this model does not know it"
    )
    out = far_end.receive()
    assert isinstance(out, ChunkOut)
    assert out.rev == -1


def test_a_viewer_who_takes_nothing_holds_up_only_itself(far_end: FarEnd) -> None:
    """without a free output slot a chunk waits uncomputed, and the other lanes go on."""
    far_end.open(0)
    far_end.open(1)
    for number in range(3):
        far_end.send(far_end.chunk(0, number))
    slots = [
        message.slot
        for message in (far_end.receive(), far_end.receive(), far_end.receive())
        if isinstance(message, ChunkOut)
    ]
    assert far_end.receive() == SlotFree(lane=0, slot=0)
    far_end.send(far_end.chunk(1, 0))
    other = far_end.receive()
    assert isinstance(other, ChunkOut) and other.lane == 1
    far_end.receive()
    far_end.send(SlotRead(lane=0, slot=slots[0]))
    late = far_end.receive()
    assert isinstance(late, ChunkOut)
    assert (late.lane, late.chunk) == (0, 2)


class GatedPipeline(PaintPipeline):
    """Its dial: no step is made while the gate is shut."""

    def __init__(self) -> None:
        self.gate = threading.Event()

    def denoise(self, chunks: Sequence[list[int]]) -> None:
        assert self.gate.wait(20), "the gate stays shut"
        super().denoise(chunks)


def test_who_waits_longest_is_asked_when_the_last_chunk_ends() -> None:
    """on a busy engine no chunk waits for three others: a slot is given back only as the device is
    about to have nothing to begin, one at a time; and all are as soon as it has nothing to do."""
    pipeline = GatedPipeline()
    end = FarEnd(pipeline, LAYOUT)
    with contextlib.closing(end):
        end.receive()
        for lane in range(3):
            end.open(lane)
        end.send(*(end.chunk(lane, 0) for lane in range(3)))
        pipeline.gate.set()
        heard = [end.receive() for _ in range(6)]
    order = [(type(message), message.lane) for message in heard]  # type: ignore[union-attr]
    assert order == [
        (ChunkOut, 0),
        (ChunkOut, 1),
        (SlotFree, 0),
        (ChunkOut, 2),
        (SlotFree, 1),
        (SlotFree, 2),
    ]


def test_what_waits_in_vain_is_given_up_though_nobody_speaks() -> None:
    """a chunk of a viewer who takes nothing is dropped at its deadline, beside a stream that has
    nothing to do, without a message that would wake the loop."""
    pipeline = PaintPipeline()
    latency = calibrate(pipeline).latency
    end = FarEnd(pipeline, LAYOUT, age_target_ns=200_000_000, latency=latency)
    with contextlib.closing(end):
        end.receive()
        end.open(0)
        end.open(1)
        for number in range(2):
            end.send(end.chunk(0, number))
            assert isinstance(end.receive(), ChunkOut)
            assert isinstance(end.receive(), SlotFree)
        end.send(end.chunk(0, 2))
        assert end.receive() == ChunkDropped(lane=0, slot=0, chunk=2)


def test_an_update_without_a_number_is_refused_without_one(far_end: FarEnd) -> None:
    """minus one stands for it, as where it is applied."""
    far_end.open(0)
    far_end.send(*(Update(lane=0, parameters=Parameters(prompt="refuse")) for _ in range(2)))
    assert far_end.receive() == UpdateRefused(
        lane=0, rev=-1, reason="prompt is refuse, this model does not know it"
    )
    far_end.receive()
    for number in range(2):
        far_end.send(far_end.chunk(0, number))
        far_end.receive()
        far_end.receive()
    far_end.send(far_end.chunk(0, 2))
    far_end.send(*(Update(lane=0, parameters=Parameters(seed=n)) for n in range(65)))
    refused = far_end.receive()
    assert isinstance(refused, UpdateRefused) and refused.rev == -1
    assert refused.reason.startswith("64 messages wait")


def test_a_stream_that_fails_ends_alone(far_end: FarEnd) -> None:
    """the reason is told, the other stream goes on, and the lane can be opened again."""
    far_end.open(0, prompt="fail")
    far_end.open(1, seed=9)
    far_end.send(far_end.chunk(0, 0), far_end.chunk(0, 1), far_end.chunk(1, 0))
    assert far_end.receive() == Failed(lane=0, reason="RuntimeError: the model broke")
    out = far_end.receive()
    assert isinstance(out, ChunkOut) and out.lane == 1
    far_end.receive()
    far_end.send(CloseStream(lane=0))
    assert far_end.receive() == StreamClosed(lane=0)
    far_end.open(0)


def test_refusals_say_why_and_when(far_end: FarEnd) -> None:
    """a full engine, a taken lane and a lane that is not there are refused in words."""
    far_end.send(OpenStream(lane=0, parameters=Parameters(prompt="full")))
    refused = far_end.receive()
    assert isinstance(refused, StreamRefused)
    assert refused.reason == "no memory for another stream" and refused.retry_after_s > 0
    far_end.open(0)
    far_end.send(OpenStream(lane=0, parameters=Parameters()))
    refused = far_end.receive()
    assert isinstance(refused, StreamRefused)
    assert refused.retry_after_s == 0, "it would be refused again"
    far_end.send(OpenStream(lane=3, parameters=Parameters()))
    assert isinstance(far_end.receive(), StreamRefused)


def test_a_chunk_out_of_order_ends_its_stream(far_end: FarEnd) -> None:
    """a lost chunk is found, not papered over."""
    far_end.open(0)
    far_end.send(far_end.chunk(0, 3))
    assert far_end.receive() == Failed(lane=0, reason="ValueError: chunk is 3, 0 is next")


def test_talk_about_closed_streams_is_ignored(far_end: FarEnd) -> None:
    """messages that crossed a close on the way disturb nobody."""
    far_end.send(
        far_end.chunk(2, 0),
        SlotRead(lane=2, slot=0),
        Update(lane=2, parameters=Parameters(seed=1)),
        CloseStream(lane=2),
    )
    assert far_end.receive() == StreamClosed(lane=2)


def test_stop_ends_the_loop(far_end: FarEnd) -> None:
    """the loop returns on request, and by itself when the server hangs up."""
    far_end.send(Stop())
    far_end.wait()


def test_a_stream_the_device_cannot_bear_is_refused() -> None:
    """by what passes take, with the reason and when to ask again; the first one may always try."""
    second_ns = 1_000_000_000
    slow = LatencyModel(LinearLatency(base_ns=0, per_item_ns=second_ns))
    end = FarEnd(PaintPipeline(), LAYOUT, age_target_ns=second_ns, latency=slow)
    with contextlib.closing(end):
        end.receive()
        end.open(0)
        end.send(OpenStream(lane=1, parameters=Parameters()))
        refused = end.receive()
        assert isinstance(refused, StreamRefused)
        assert refused.reason.startswith("load would be ")
        assert "a chunk takes 4000 ms alone and comes every 500 ms" in refused.reason
        assert refused.retry_after_s > 0
        end.send(CloseStream(lane=0))
        end.receive()
        end.open(1)


def test_streams_that_share_a_pass_share_its_failure(far_end: FarEnd) -> None:
    """none of their caches can be trusted after it; who was not in it is not touched."""
    pipeline = PaintPipeline()
    device = PassExecutor(pipeline, far_end.arena)
    work = []
    for number, prompt in enumerate(("fine", "fail", "fine")):
        stream = pipeline.open(Parameters(prompt=prompt))
        slot = StreamSlot(lane=number, pipeline_stream=stream, outputs=Slots(2, owned=True))
        work.append((slot, InFlightChunk[list[int]](message=far_end.chunk(number, 0))))
    assert not device.run(Stage.ENCODE, work).failures
    assert device.run(Stage.DENOISE, work[:2]).failures == dict.fromkeys(
        (0, 1), "RuntimeError: the model broke"
    )
    assert not device.run(Stage.DENOISE, work[2:]).failures
    assert device.run(Stage.DECODE, work[2:]).failures == {}


def test_a_rehearsal_knows_every_stage() -> None:
    """what a viewer's steady chunks ask for has been seen often enough to be believed."""
    latency = calibrate(PaintPipeline()).latency
    for stage in Stage:
        kind = PassKind(stage=stage, level="paint")
        assert latency.samples(kind) >= 3
        assert latency.line(kind).at(1) < 1_000_000

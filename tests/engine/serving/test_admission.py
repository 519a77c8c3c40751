"""serving/admission.py over a real channel: who is opened, and what they may change."""

import contextlib
from collections.abc import Iterator

import pytest
from msgspec import structs
from slipstream_engine.frame_sizes import ScaledSize
from slipstream_engine.scheduling.latency_model import LatencyModel, LinearLatency
from slipstream_engine.scheduling.scheduler import Scheduler
from slipstream_engine.serving.admission import StreamAdmission
from slipstream_engine.serving.stream_slot import StreamSlot
from slipstream_protocol.arena import Slots
from slipstream_protocol.frames import FrameSize
from slipstream_protocol.messages import (
    Applied,
    ChunkIn,
    CloseStream,
    OpenStream,
    StreamOpened,
    StreamRefused,
    Update,
    UpdateRefused,
)
from slipstream_protocol.parameters import Parameters

from tests.engine.loop_harness import LoopHarness
from tests.engine.paint_pipeline import GEOMETRY, LAYOUT, UPRIGHT, PaintPipeline

WIDE = GEOMETRY.size


@contextlib.contextmanager
def two_open_streams() -> Iterator[LoopHarness]:
    """A chunk of theirs takes 120 ms, and they are promised one every 300 ms."""
    slow = LatencyModel(LinearLatency(base_ns=0, per_item_ns=30_000_000))
    harness = LoopHarness(PaintPipeline(), LAYOUT, latency=slow)
    with contextlib.closing(harness):
        harness.receive()
        for lane in (0, 1):
            harness.send(OpenStream(lane=lane, parameters=Parameters(), period_ns=300_000_000))
            assert isinstance(harness.receive(), StreamOpened)
        yield harness


def test_a_stream_beyond_the_devices_capacity_is_refused() -> None:
    """by what passes take, with the reason and when to try again; the first is always opened."""
    second_ns = 1_000_000_000
    slow = LatencyModel(LinearLatency(base_ns=0, per_item_ns=second_ns))
    harness = LoopHarness(PaintPipeline(), LAYOUT, age_target_ns=second_ns, latency=slow)
    with contextlib.closing(harness):
        harness.receive()
        harness.open(0)
        harness.send(OpenStream(lane=1, parameters=Parameters()))
        refused = harness.receive()
        assert isinstance(refused, StreamRefused)
        assert refused.reason.startswith("load would be ")
        assert "a chunk takes 4000 ms alone and comes every 500 ms" in refused.reason
        assert refused.retry_after_s > 0
        harness.send(CloseStream(lane=0))
        harness.receive()
        harness.open(1)


def test_a_stream_is_promised_its_cameras_rate_from_its_opening() -> None:
    """four that open at once and send nothing yet: the device is worth one of them."""
    pass_ns = 30_000_000
    harness = LoopHarness(
        PaintPipeline(),
        LAYOUT,
        latency=LatencyModel(LinearLatency(base_ns=0, per_item_ns=pass_ns)),
    )
    period_ns = 4_000_000_000 // 30
    with contextlib.closing(harness):
        harness.receive()
        for lane in range(3):
            harness.send(OpenStream(lane=lane, parameters=Parameters(), period_ns=period_ns))
        answers = [harness.receive() for _ in range(3)]
        opened, *refused = answers
        assert isinstance(opened, StreamOpened) and opened.alone_ms == pytest.approx(120)
        assert all(isinstance(one, StreamRefused) for one in refused)
        harness.send(
            OpenStream(lane=1, parameters=Parameters(), period_ns=period_ns, floor_steps=1)
        )
        assert isinstance(harness.receive(), StreamRefused)  # the other one has no floor
        for period_ns, steps, reason in (
            (-1, 0, "period_ns is -1, it must be at least 1"),
            (1, -2, "floor_steps is -2, it must be at least 1"),
        ):
            harness.send(
                OpenStream(lane=1, parameters=Parameters(), period_ns=period_ns, floor_steps=steps)
            )
            assert harness.receive() == StreamRefused(lane=1, reason=reason, retry_after_s=0)


class SharingPipeline(PaintPipeline):
    """Wide and upright pictures at two scales; those of one size share passes."""

    max_batch = 8
    sizes = tuple(
        ScaledSize(size=size, scale_px=scale_px)
        for size, scale_px in ((WIDE, 4), (UPRIGHT, 4), (FrameSize(4, 2), 2), (FrameSize(2, 4), 2))
    )


@pytest.mark.parametrize("floor_size_px", [0, 2])
@pytest.mark.parametrize(("other", "fits"), [(WIDE, True), (UPRIGHT, False)])
def test_cameras_of_different_shapes_leave_less_room(
    other: FrameSize, fits: bool, floor_size_px: int
) -> None:
    """their passes are not shared, nor would they be at the floor: a third caller fits beside two
    of one shape, and not beside two of different shapes."""
    pipeline = SharingPipeline()
    scheduler = Scheduler(LatencyModel(LinearLatency(base_ns=30_000_000, per_item_ns=1)))
    admission = StreamAdmission(pipeline, scheduler, lanes=3, period_ns=1)
    opening = OpenStream(
        lane=0,
        parameters=Parameters(),
        period_ns=280_000_000,
        floor_steps=2,
        floor_size_px=floor_size_px,
    )
    for lane, size in enumerate((WIDE, other)):
        stream = admission.open(structs.replace(opening, lane=lane), range(lane))
        assert not isinstance(stream, StreamRefused)
        slot = StreamSlot(
            lane=lane, pipeline_stream=stream, size=WIDE, outputs=Slots(1, owned=True)
        )
        first = ChunkIn(
            lane=lane, slot=0, chunk=0, frames=5, captured_ns=0, submitted_ns=0, size=size
        )
        assert admission.accept(slot, first) is None
    third = admission.open(structs.replace(opening, lane=2), (0, 1))
    assert isinstance(third, StreamRefused) is not fits


def test_a_refusal_says_which_spare_streams_to_close() -> None:
    """as many of them as it takes, in their order, and none where all would not do."""
    with two_open_streams() as harness:
        for period_ms, spare, expected in (
            (300, (), 0),
            (300, (1, 0), 1),
            (150, (0, 1), 2),
            (150, (0,), 0),
        ):
            harness.send(
                OpenStream(
                    lane=2,
                    parameters=Parameters(),
                    period_ns=period_ms * 1_000_000,
                    spare_lanes=spare,
                )
            )
            refused = harness.receive()
            assert isinstance(refused, StreamRefused)
            assert refused.fits_without == expected, (period_ms, spare)
        harness.send(OpenStream(lane=2, parameters=Parameters(), is_return=True))
        assert isinstance(harness.receive(), StreamOpened), "what was promised before is kept"


def test_a_viewer_cannot_take_more_than_the_device_has() -> None:
    """more steps are refused where another would fall below its promise, however often they are
    asked for; nothing has changed, and fewer are taken."""
    with two_open_streams() as harness:
        more = Parameters(denoising_step_list=(1000, 750, 500, 250), rev=1)
        for _ in range(20):
            harness.send(Update(lane=0, parameters=more))
            refused = harness.receive()
            assert isinstance(refused, UpdateRefused) and refused.rev == 1
            assert refused.reason.startswith("load would be 100% of this device")
        fewer = Parameters(denoising_step_list=(1000,), rev=2)
        harness.send(Update(lane=1, parameters=fewer))
        applied = harness.receive()
        assert isinstance(applied, Applied) and applied.alone_ms == pytest.approx(90)
        harness.send(Update(lane=0, parameters=more))
        assert isinstance(harness.receive(), Applied)

"""The camera's track is drained, scaled and stamped."""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction

import numpy as np
import pytest
from aiortc.mediastreams import MediaStreamError
from av import VideoFrame
from hypothesis import given
from hypothesis import strategies as st
from slipstream_protocol.clock import NS_PER_MS, now_ns
from slipstream_protocol.colours import DeclaredColours
from slipstream_protocol.frames import I420, FrameSize, i420_planes
from slipstream_server.frames.chunker import CapturedFrame
from slipstream_server.probe.marker import read_marker
from slipstream_server.receive.camera import CameraIngest, CameraScaler, cover_px

from tests.colours import PATCHES, WEIGHTS, distance, flat, samples_of
from tests.server.calls import numbered

BT_601 = 5
SIZE = FrameSize(256, 192)


def always(width_px: int, height_px: int, now_ns: int) -> FrameSize:
    return SIZE


def scaler() -> Callable[..., I420]:
    """One to a single size."""
    scale = CameraScaler()
    return lambda frame, said=None: scale(frame, SIZE, said)


class Clip:
    """A track of given frames that ends after the last."""

    def __init__(self, frames: Sequence[VideoFrame]) -> None:
        self._frames = list(frames)

    async def recv(self) -> VideoFrame:
        await asyncio.sleep(0)
        if not self._frames:
            raise MediaStreamError
        return self._frames.pop(0)


@given(st.integers(1, 4000), st.integers(1, 4000))
def test_the_cover_is_even_and_covers_tightly(width_px: int, height_px: int) -> None:
    """one side fits exactly, the other is no shorter, and the aspect is kept."""
    wide, high = cover_px(width_px, height_px, SIZE)
    assert wide % 2 == high % 2 == 0
    assert wide >= SIZE.width_px
    assert high >= SIZE.height_px
    assert wide == SIZE.width_px or high == SIZE.height_px
    assert abs(wide - high * width_px / height_px) <= 2 + 2 * width_px / height_px


@pytest.mark.parametrize("size", [(640, 480), (1280, 720), (480, 640), (257, 193), (64, 48)])
def test_a_picture_of_any_size_fills_the_engines(size: tuple[int, int]) -> None:
    """all three planes, without borders or mixed-up colours."""
    out = scaler()(flat((100, 60, 200), width_px=size[0], height_px=size[1]))
    assert out.shape == SIZE.frame_shape
    for plane, value in zip(i420_planes(out), (100, 60, 200), strict=True):
        assert np.abs(plane.astype(int) - value).max() <= 2


@pytest.mark.parametrize("size", [(640, 480), (1280, 720), (1920, 1080)])
def test_the_middle_is_kept(size: tuple[int, int]) -> None:
    """a code in the middle of the picture is read back at the engine's size."""
    frame = numbered(777, width_px=size[0], height_px=size[1])
    assert read_marker(i420_planes(scaler()(frame))[0]) == 777


def test_a_scaler_follows_a_camera_that_turns() -> None:
    """the size may change in the middle of a track, as when a phone is turned."""
    scale = scaler()
    first = scale(flat((50, 128, 128), width_px=640, height_px=480))
    scale(flat((90, 128, 128), width_px=480, height_px=640))
    again = scale(flat((50, 128, 128), width_px=640, height_px=480))
    assert np.array_equal(first, again)


def test_a_full_range_picture_is_brought_to_video_range() -> None:
    """what a browser marks as full range does not come out too dark or too bright."""
    frame = flat((255, 128, 128), width_px=640, height_px=480, format="yuvj420p")
    luma, _, _ = i420_planes(scaler()(frame))
    assert abs(int(luma.mean()) - 235) <= 1


@pytest.mark.parametrize("is_full", [False, True])
@pytest.mark.parametrize("matrix", WEIGHTS)
def test_declared_colours_are_those_of_the_engine(matrix: int, is_full: bool) -> None:
    """whatever matrix and range a camera declares, flat colours come out as BT.601, limited."""
    scale = scaler()
    for colour in PATCHES:
        frame = flat(samples_of(colour, matrix, is_full=is_full), width_px=640, height_px=480)
        frame.colorspace, frame.color_range = matrix, 2 if is_full else 1
        planes = i420_planes(scale(frame))
        found = tuple(round(plane.mean()) for plane in planes)
        assert distance(found, samples_of(colour, BT_601)) <= 1
        assert max(int(plane.max()) - int(plane.min()) for plane in planes) <= 1


def test_the_senders_word_goes_before_the_decoders() -> None:
    """a browser's H.264 and VP8 declare nothing, or what their encoder believes."""
    frame = flat(samples_of(PATCHES[0], 1), width_px=640, height_px=480)
    said = DeclaredColours(matrix=1, transfer=1, is_full_range=False)
    out = scaler()(frame, said)
    found = tuple(round(plane.mean()) for plane in i420_planes(out))
    assert distance(found, samples_of(PATCHES[0], BT_601)) <= 1


@pytest.mark.parametrize("matrix", [0, 2, 3, 8, 10, 14, 200])
def test_a_matrix_that_nobody_knows_ends_no_call(matrix: int) -> None:
    """an undeclared one is BT.601, and so is one that is reserved or that no scaler has."""
    frame = flat(samples_of(PATCHES[0], BT_601), width_px=1280, height_px=720)
    frame.colorspace = matrix
    out = scaler()(frame)
    found = tuple(round(plane.mean()) for plane in i420_planes(out))
    if matrix != 10:  # a variety of BT.2020
        assert distance(found, samples_of(PATCHES[0], BT_601)) <= 1


@pytest.mark.parametrize("transfer", [16, 18])
def test_high_dynamic_range_is_said_once(transfer: int, caplog: pytest.LogCaptureFixture) -> None:
    """a live picture is not tone-mapped; one line says so, and what to do."""
    scale = scaler()
    for one in (transfer, 1, transfer):
        frame = flat((120, 128, 128), width_px=640, height_px=480)
        frame.color_trc = one
        scale(frame)
    (record,) = caplog.records
    assert "not mapped" in record.getMessage() and "Rec. 709" in record.getMessage()


async def test_frames_come_through_in_order_with_their_times() -> None:
    """captured never after arrived, and as far apart as the camera says."""
    frames = []
    for number in range(4):
        frame = numbered(number)
        frame.pts, frame.time_base = number * 3000, Fraction(1, 90_000)
        frames.append(frame)
    delivered: asyncio.Queue[CapturedFrame] = asyncio.Queue()
    with ThreadPoolExecutor(1) as pool:
        ingest = CameraIngest(
            Clip(frames), size_for=always, pool=pool, on_frame=delivered.put_nowait
        )
        scaling = asyncio.create_task(ingest.scale())
        with pytest.raises(MediaStreamError):
            await ingest.drain()
        async with asyncio.timeout(5):
            got = [await delivered.get() for _ in range(4)]
        scaling.cancel()
    assert [read_marker(i420_planes(captured.frame)[0]) for captured in got] == [0, 1, 2, 3]
    assert all(captured.captured_ns <= captured.arrived_ns for captured in got)


async def test_a_frame_is_stamped_and_delivered_without_delay() -> None:
    """the stamp of arrival is when it came; the fastest of ten is through within 100 ms."""
    times_ns: list[tuple[int, int, int]] = []  # came, stamped, delivered
    came_ns = 0
    delivered = asyncio.Event()
    delivered.set()

    class OneByOne(Clip):
        """Gives a frame once the one before was delivered."""

        async def recv(self) -> VideoFrame:
            nonlocal came_ns
            await delivered.wait()
            delivered.clear()
            frame = await super().recv()
            came_ns = now_ns()
            return frame

    frames = []
    for number in range(10):
        frame = numbered(number)
        frame.pts, frame.time_base = number * 3000, Fraction(1, 90_000)
        frames.append(frame)

    def deliver(frame: CapturedFrame) -> None:
        times_ns.append((came_ns, frame.arrived_ns, now_ns()))
        delivered.set()

    with ThreadPoolExecutor(1) as pool:
        ingest = CameraIngest(OneByOne(frames), size_for=always, pool=pool, on_frame=deliver)
        scaling = asyncio.create_task(ingest.scale())
        with pytest.raises(MediaStreamError):
            async with asyncio.timeout(5):
                await ingest.drain()
        scaling.cancel()
    assert all(came <= stamped <= done for came, stamped, done in times_ns)
    assert min(stamped - came for came, stamped, _ in times_ns) < 100 * NS_PER_MS
    assert min(done - came for came, _, done in times_ns) < 100 * NS_PER_MS


async def test_a_scaler_that_is_late_keeps_the_newest() -> None:
    """the track is drained all the same; what is dropped is counted."""
    frames = []
    for number in range(20):
        frame = numbered(number)
        frame.pts, frame.time_base = number * 3000, Fraction(1, 90_000)
        frames.append(frame)
    delivered: asyncio.Queue[CapturedFrame] = asyncio.Queue()
    with ThreadPoolExecutor(1) as pool:
        ingest = CameraIngest(
            Clip(frames), size_for=always, pool=pool, on_frame=delivered.put_nowait
        )
        with pytest.raises(MediaStreamError):
            await ingest.drain()
        assert ingest.drops == {"unscaled": 16}
        scaling = asyncio.create_task(ingest.scale())
        async with asyncio.timeout(5):
            got = [await delivered.get() for _ in range(4)]
        scaling.cancel()
    assert [read_marker(i420_planes(captured.frame)[0]) for captured in got] == [16, 17, 18, 19]

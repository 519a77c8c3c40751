"""The output track: frames at their times, and reports of those that were sent."""

import asyncio
import gc
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace

import av
import numpy as np
import pytest
from aiortc.mediastreams import MediaStreamError
from av import VideoFrame
from slipstream_protocol.clock import NS_PER_MS, now_ns
from slipstream_server.frames.playout import GeneratedFrame, Playout, ScheduledFrame
from slipstream_server.send.adaptive_encoder import AdaptiveEncoder
from slipstream_server.send.bandwidth import RateControl
from slipstream_server.send.h264 import X264, H264Encoder
from slipstream_server.send.keyframes import KeyFrameScheduler
from slipstream_server.send.output_track import OutputTrack, to_video_frame

from tests.server.stamped import GEOMETRY, generated_frame


def chunk(count: int, *, step_ms: float) -> list[GeneratedFrame]:
    """Frames at even distances, each with its index as its brightness."""
    return [
        replace(
            generated_frame(1000 + step_ms * index, index=index),
            frame=np.full(GEOMETRY.frame_shape, index, np.uint8),
        )
        for index in range(count)
    ]


def new_encoding(pool: Executor) -> AdaptiveEncoder:
    rate = RateControl(ceiling_bps=1_000_000)
    return AdaptiveEncoder(codec=X264, pool=pool, rate=rate, key_frames=KeyFrameScheduler())


def new_track(
    on_sent: Callable[[ScheduledFrame, int], None] = lambda scheduled, at: None,
) -> OutputTrack:
    """A track whose viewer takes no H.264: pictures pass as they are."""
    return OutputTrack(Playout(chunk_frames=4), new_encoding(Executor()), on_sent=on_sent)


def index_of(picture: VideoFrame) -> int:
    return int(picture.to_ndarray()[0, 0])


async def received_from(track: OutputTrack, last: int) -> dict[int, VideoFrame]:
    """Pictures by index, up to the last; one that a slow machine was late for may be missing."""
    pictures: dict[int, VideoFrame] = {}
    while last not in pictures:
        picture = await track.recv()
        assert isinstance(picture, VideoFrame)
        pictures[index_of(picture)] = picture
    return pictures


async def test_frames_come_with_their_play_times_as_pts() -> None:
    """in 90 kHz from zero, as far apart as they were captured; never before their time."""
    track = new_track()
    began_ns = now_ns()
    track.push(chunk(4, step_ms=20))
    pictures = await received_from(track, last=3)
    assert now_ns() - began_ns >= 60 * NS_PER_MS
    first = min(pictures)
    assert pictures[first].pts == 0
    for index, picture in pictures.items():
        assert picture.pts == (index - first) * 1800
        assert (picture.width, picture.height) == (4, 2)


async def test_a_frame_counts_as_sent_when_the_next_is_requested() -> None:
    """aiortc requests the next one once it has sent the one before."""
    sent: list[int] = []
    track = new_track(lambda scheduled, at: sent.append(scheduled.generated.index))
    track.push(chunk(1, step_ms=0))
    await track.recv()
    assert sent == []
    waiting = asyncio.create_task(track.recv())
    await asyncio.sleep(0)
    assert sent == [0]
    waiting.cancel()


async def test_a_waiting_track_wakes_for_frames_and_for_its_end() -> None:
    """without polling."""
    track = new_track()
    waiting = asyncio.create_task(track.recv())
    await asyncio.sleep(0)
    track.push([generated_frame(1000)])
    assert (await waiting).pts == 0
    waiting = asyncio.create_task(track.recv())
    await asyncio.sleep(0)
    track.stop()
    with pytest.raises(MediaStreamError):
        await waiting


async def test_a_viewer_that_takes_h264_gets_packets() -> None:
    """with the frame's own time, the first a key frame."""
    with ThreadPoolExecutor(1) as pool:
        encoding = new_encoding(pool)
        encoding.use_h264()
        track = OutputTrack(Playout(chunk_frames=4), encoding, on_sent=lambda scheduled, at: None)
        track.push([replace(generated_frame(1000), frame=np.full((96, 64), 80, np.uint8))])
        packet = await track.recv()
    assert isinstance(packet, av.Packet)
    assert packet.is_keyframe
    assert packet.pts == 0


def living_encoders() -> int:
    return sum(type(thing) is H264Encoder for thing in gc.get_objects())


@contextmanager
def no_collector() -> Iterator[None]:
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


async def test_a_track_that_has_stopped_keeps_no_encoder() -> None:
    """its megabytes go at once, not when the cycles of a call are collected; its counts stay."""
    gc.collect()  # what other tests have left
    before = living_encoders()
    with ThreadPoolExecutor(1) as pool:
        encoding = new_encoding(pool)
        encoding.use_h264()
        track = OutputTrack(Playout(chunk_frames=4), encoding, on_sent=lambda scheduled, at: None)
        track.push([replace(generated_frame(1000), frame=np.full((96, 64), 80, np.uint8))])
        await track.recv()
        assert living_encoders() == before + 1
        with no_collector():
            track.stop()
            assert living_encoders() == before
    assert encoding.counts["opened"] == 1


async def test_a_poor_link_gets_every_other_frame() -> None:
    """once the encoder uses up the little there is, the playout leaves out frames, and counts
    them."""
    with ThreadPoolExecutor(1) as pool:
        encoding = new_encoding(pool)
        encoding.use_h264()
        encoding.rate.on_packet_sent(1_000_000 // 8, now_ns())
        encoding.rate.on_remb(10_000, now_ns())
        track = OutputTrack(Playout(chunk_frames=9), encoding, on_sent=lambda scheduled, at: None)
        large = np.random.default_rng(0).integers(16, 235, (9, 1080, 1280), np.uint8)
        track.push(
            [replace(generated_frame(1000 + 40 * n, index=n), frame=large[n]) for n in range(9)]
        )
        times = [(await track.recv()).pts for _ in range(4)]
    assert encoding.every_frames == 3
    assert times[0] == 0
    assert track.playout.drops["thinned"] >= 2


@pytest.mark.parametrize("height_px", [2, 4, 6, 480, 486])
def test_a_picture_has_the_frames_pixels(height_px: int) -> None:
    """at any even height."""
    frame = np.arange(height_px * 3 // 2 * 8, dtype=np.uint8).reshape(-1, 8)
    picture = to_video_frame(frame)
    assert (picture.width, picture.height) == (8, height_px)
    assert np.array_equal(picture.to_ndarray(), frame)

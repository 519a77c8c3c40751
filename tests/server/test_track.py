"""The output track: frames at their times, and word of those that were sent."""

import asyncio
from dataclasses import replace

import numpy as np
import pytest
from aiortc import RTCRtpSender
from aiortc.mediastreams import MediaStreamError
from av import VideoFrame
from slipstream_protocol.clock import NS_PER_MS, now_ns
from slipstream_server.playout import Made, Playout
from slipstream_server.track import _RTP_TIMESTAMP, OutputTrack

from tests.server.stamped import GEOMETRY, made


def chunk(count: int, *, step_ms: float) -> list[Made]:
    """Frames at even distances, each with its index as its brightness."""
    return [
        replace(
            made(1000 + step_ms * index, index=index),
            frame=np.full(GEOMETRY.frame_shape, index, np.uint8),
        )
        for index in range(count)
    ]


def index_of(picture: VideoFrame) -> int:
    return int(picture.to_ndarray()[0, 0])


async def shown_of(track: OutputTrack, last: int) -> dict[int, VideoFrame]:
    """Pictures by index, up to the last; one that a slow machine was late for may be missing."""
    pictures: dict[int, VideoFrame] = {}
    while last not in pictures:
        picture = await track.recv()
        pictures[index_of(picture)] = picture
    return pictures


async def test_frames_come_with_their_play_times_as_pts() -> None:
    """in 90 kHz from zero, as far apart as they were captured; never before their time."""
    track = OutputTrack(Playout(chunk_frames=4), on_sent=lambda shown, at: None)
    began_ns = now_ns()
    track.push(chunk(4, step_ms=20))
    pictures = await shown_of(track, last=3)
    assert now_ns() - began_ns >= 60 * NS_PER_MS
    first = min(pictures)
    assert pictures[first].pts == 0
    for index, picture in pictures.items():
        assert picture.pts == (index - first) * 1800
        assert (picture.width, picture.height) == (4, 2)


async def test_a_frame_counts_as_sent_when_the_next_is_asked_for() -> None:
    """aiortc asks for the next one once it has sent the one before."""
    sent: list[int] = []
    track = OutputTrack(
        Playout(chunk_frames=4), on_sent=lambda shown, at: sent.append(shown.made.index)
    )
    track.push(chunk(1, step_ms=0))
    await track.recv()
    assert sent == []
    waiting = asyncio.create_task(track.recv())
    await asyncio.sleep(0)
    assert sent == [0]
    waiting.cancel()


async def test_a_waiting_track_wakes_for_frames_and_for_its_end() -> None:
    """without polling."""
    track = OutputTrack(Playout(chunk_frames=4), on_sent=lambda shown, at: None)
    waiting = asyncio.create_task(track.recv())
    await asyncio.sleep(0)
    track.push([made(1000)])
    assert (await waiting).pts == 0
    waiting = asyncio.create_task(track.recv())
    await asyncio.sleep(0)
    track.stop()
    with pytest.raises(MediaStreamError):
        await waiting


def test_aiortc_still_keeps_the_rtp_time_where_it_is_read() -> None:
    """fails when aiortc moves it; `track.last_rtp_timestamp` must follow."""
    assert _RTP_TIMESTAMP in RTCRtpSender.__init__.__code__.co_names

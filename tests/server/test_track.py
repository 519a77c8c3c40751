"""The output track: frames at their times, and word of those that were sent."""

import asyncio

import pytest
from aiortc import RTCRtpSender
from aiortc.mediastreams import MediaStreamError
from slipstream_protocol.clock import NS_PER_MS, now_ns
from slipstream_server.playout import Playout, Shown
from slipstream_server.track import _RTP_TIMESTAMP, OutputTrack

from tests.server.stamped import made


async def test_frames_come_with_their_play_times_as_pts() -> None:
    """from zero, in 90 kHz, as far apart as they were captured."""
    track = OutputTrack(Playout(chunk_frames=4), on_sent=lambda shown, at: None)
    track.push([made(1000 + 20 * index, index=index) for index in range(4)])
    pictures = [await track.recv() for _ in range(4)]
    assert [picture.pts for picture in pictures] == [0, 1800, 3600, 5400]
    assert {(picture.width, picture.height) for picture in pictures} == {(4, 2)}


async def test_no_frame_comes_before_its_time() -> None:
    track = OutputTrack(Playout(chunk_frames=4), on_sent=lambda shown, at: None)
    frames = [made(1000 + 15 * index, index=index) for index in range(4)]
    began_ns = now_ns()
    track.push(frames)
    for index in range(4):
        await track.recv()
        assert now_ns() - began_ns >= index * 15 * NS_PER_MS


async def test_a_frame_counts_as_sent_when_the_next_is_asked_for() -> None:
    """aiortc asks for the next one once it has sent the one before."""
    sent: list[Shown] = []
    track = OutputTrack(Playout(chunk_frames=4), on_sent=lambda shown, at: sent.append(shown))
    track.push([made(1000, index=0), made(1001, index=1)])
    await track.recv()
    assert sent == []
    await track.recv()
    assert [shown.made.index for shown in sent] == [0]


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
    assert _RTP_TIMESTAMP.removeprefix("_RTCRtpSender") in "".join(
        f"__{name.removeprefix('_RTCRtpSender__')} "
        for name in RTCRtpSender.__init__.__code__.co_names
    )

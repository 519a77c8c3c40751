"""One picture for many: encoded once, whoever watches, and nobody pays for another's link."""

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from aiortc.mediastreams import MediaStreamError
from av import Packet
from slipstream_protocol.clock import NS_PER_MS, now_ns
from slipstream_server.frames.playout import GeneratedFrame, ScheduledFrame
from slipstream_server.send.adaptive_encoder import AdaptiveEncoder
from slipstream_server.send.bandwidth import RateControl
from slipstream_server.send.fanout import Fanout, SubscriberTrack
from slipstream_server.send.h264 import X264
from slipstream_server.send.keyframes import KeyFrameScheduler

from tests.server.stamped import generated_frame

DEADLINE_S = 20.0
CEILING_BPS = 4_000_000
CHUNK_FRAMES = 4


def new_rate() -> RateControl:
    return RateControl(ceiling_bps=CEILING_BPS)


def no_word(scheduled: ScheduledFrame, sent_ns: int) -> None:
    """Not told."""


class Airing:
    """A broadcast with a source of chunks and the viewers' ends."""

    def __init__(self, pool: ThreadPoolExecutor) -> None:
        self.h264, self.vp8 = (
            AdaptiveEncoder(
                codec=X264, pool=pool, rate=new_rate(), key_frames=KeyFrameScheduler(spacing_ns=0)
            )
            for _ in range(2)
        )
        self.aired: list[ScheduledFrame] = []
        self.broadcast = Fanout(
            chunk_frames=CHUNK_FRAMES,
            h264=self.h264,
            vp8=self.vp8,
            new_rate=new_rate,
            on_frame=self._note,
        )
        self._news = asyncio.Event()
        self._began_ns = now_ns()
        self._chunks = 0

    async def air(self, chunks: int = 1) -> None:
        """Make chunks, each once the last frame of the one before has been given out."""
        for _ in range(chunks):
            chunk = self._chunk()
            self.broadcast.push(chunk)
            async with asyncio.timeout(DEADLINE_S):
                while not self.aired or self.aired[-1].generated is not chunk[-1]:
                    self._news.clear()
                    await self._news.wait()

    def _note(self, scheduled: ScheduledFrame, at_ns: int) -> None:
        self.aired.append(scheduled)
        self._news.set()

    def _chunk(self) -> list[GeneratedFrame]:
        at_ms = (now_ns() - self._began_ns) / NS_PER_MS
        self._chunks += 1
        return [
            replace(
                generated_frame(at_ms + 2 * index, chunk=self._chunks, index=index),
                captured_ns=self._began_ns + int((at_ms + 2 * index) * NS_PER_MS),
                frame=np.full((96, 64), 16 * index, np.uint8),
            )
            for index in range(CHUNK_FRAMES)
        ]


class Viewer:
    """Fetches what there is, until it is told to stop."""

    def __init__(self, track: SubscriberTrack) -> None:
        self.track = track
        self.got: list[Packet[Any]] = []
        self._fetching = asyncio.create_task(self._fetch())

    async def _fetch(self) -> None:
        while True:
            self.got.append(await self.track.recv())

    async def leave(self) -> None:
        self.track.stop()
        with pytest.raises(MediaStreamError):
            await self._fetching


@asynccontextmanager
async def airing() -> AsyncIterator[Airing]:
    with ThreadPoolExecutor(1) as pool:
        air = Airing(pool)
        running = asyncio.create_task(air.broadcast.run())
        try:
            yield air
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)


async def viewers_of(air: Airing, count: int, *, codec: str = "H264") -> list[Viewer]:
    viewers = []
    for _ in range(count):
        track = air.broadcast.track(no_word)
        assert track.negotiated(codec)
        viewers.append(Viewer(track))
    await asyncio.sleep(0)  # each has asked for its first frame
    return viewers


@pytest.mark.parametrize("count", [1, 5])
async def test_every_frame_is_encoded_once_however_many_watch(count: int) -> None:
    """and each viewer gets every packet, the very same one."""
    async with airing() as air:
        viewers = await viewers_of(air, count)
        await air.air(chunks=5)
        for viewer in viewers:
            await viewer.leave()
        assert air.h264.counts["sent"] == len(air.aired) > 5
        for viewer in viewers:
            assert len(viewer.got) == len(air.aired)
            assert all(a is b for a, b in zip(viewer.got, viewers[0].got, strict=True))


async def test_without_viewers_nothing_is_encoded() -> None:
    """before the first comes and after the last has gone; the frames' times go on."""
    async with airing() as air:
        await air.air(chunks=2)
        assert air.aired
        assert air.h264.counts["sent"] == 0
        (viewer,) = await viewers_of(air, 1)
        await air.air()
        await viewer.leave()
        encoded = air.h264.counts["sent"]
        assert encoded > 0
        await air.air(chunks=2)
        assert air.h264.counts["sent"] == encoded
        assert air.broadcast.subscribers == 0


async def test_who_comes_later_gets_a_key_frame_at_once() -> None:
    """the first packet it gets; those who were there see one more of them."""
    async with airing() as air:
        (early,) = await viewers_of(air, 1)
        await air.air(chunks=2)
        (late,) = await viewers_of(air, 1)
        await air.air(chunks=2)
        await early.leave()
        await late.leave()
        assert late.got[0].is_keyframe
        assert air.h264.counts["key"] == 2
        assert early.got[-len(late.got) :] == late.got


async def test_who_does_not_fetch_costs_itself_only() -> None:
    """its queue stays bounded; the others get every frame."""
    async with airing() as air:
        lazy = air.broadcast.track(no_word)
        lazy.negotiated("H264")
        waiting = asyncio.create_task(lazy.recv())
        (busy,) = await viewers_of(air, 1)
        await air.air(chunks=15)
        await busy.leave()
        await waiting
        assert lazy.queue.drops["unfetched"] > 0
        assert len(busy.got) == len(air.aired)
        lazy.stop()


async def test_one_bad_link_does_not_lower_the_picture() -> None:
    """two of three do: the median's rate is the picture's."""
    async with airing() as air:
        viewers = await viewers_of(air, 3)
        for viewer in viewers:
            viewer.track.on_remb(10_000_000)
        viewers[1].track.on_remb(100_000)
        await air.air()
        assert air.h264.rate.bitrate_bps == CEILING_BPS
        viewers[2].track.on_remb(1_000_000)
        await air.air()
        assert air.h264.rate.bitrate_bps == 850_000
        for viewer in viewers:
            await viewer.leave()


async def test_viewers_without_h264_share_a_picture_of_their_own() -> None:
    """encoded once in VP8 for all of them, and in H.264 for the others; alone, in VP8 only."""
    async with airing() as air:
        plain = await viewers_of(air, 3, codec="VP8")
        await air.air()
        assert air.h264.counts["sent"] == 0
        (modern,) = await viewers_of(air, 1)
        await air.air(chunks=2)
        for viewer in (*plain, modern):
            await viewer.leave()
        assert air.vp8.counts["sent"] == len(air.aired)
        assert air.h264.counts["sent"] == len(modern.got) < len(air.aired)
        assert air.broadcast.counts["sent"] == len(air.aired) + len(modern.got)
        for viewer in plain:
            assert viewer.got == plain[0].got
            assert len(viewer.got) == len(air.aired)
        assert plain[0].got[0].is_keyframe
        assert bytes(plain[0].got[0])[3:6] == bytes((0x9D, 0x01, 0x2A))  # of a VP8 key frame


async def test_each_viewer_hears_of_each_frame_sent() -> None:
    """once it has asked for the next one, as with a picture of its own."""
    async with airing() as air:
        sent: list[ScheduledFrame] = []
        track = air.broadcast.track(lambda scheduled, sent_ns: sent.append(scheduled))
        track.negotiated("H264")
        viewer = Viewer(track)
        await asyncio.sleep(0)
        await air.air(chunks=2)
        await viewer.leave()
        assert sent == air.aired[: len(sent)]
        assert len(sent) >= len(viewer.got) - 1 > 0


async def test_a_track_that_never_began_leaves_nothing() -> None:
    """a call that fails before media holds no queue."""
    async with airing() as air:
        air.broadcast.track(no_word).stop()
        assert air.broadcast.subscribers == 0

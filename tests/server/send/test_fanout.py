"""The fan-out: a picture is encoded once for all, and one bad link does not lower it for others."""

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


def ignore_sent(scheduled: ScheduledFrame, sent_ns: int) -> None:
    """No report is needed."""


class LiveFanout:
    """A fan-out with a source of chunks."""

    def __init__(self, pool: ThreadPoolExecutor) -> None:
        self.h264, self.vp8 = (
            AdaptiveEncoder(
                codec=X264, pool=pool, rate=new_rate(), key_frames=KeyFrameScheduler(spacing_ns=0)
            )
            for _ in range(2)
        )
        self.played: list[ScheduledFrame] = []
        self.fanout = Fanout(
            chunk_frames=CHUNK_FRAMES,
            h264=self.h264,
            vp8=self.vp8,
            new_rate=new_rate,
            on_frame=self._on_frame,
        )
        self._changed = asyncio.Event()
        self._began_ns = now_ns()
        self._chunks = 0

    async def play(self, chunks: int = 1) -> None:
        """Push chunks, each once the last frame of the one before was sent."""
        for _ in range(chunks):
            chunk = self._chunk()
            self.fanout.push(chunk)
            async with asyncio.timeout(DEADLINE_S):
                while not self.played or self.played[-1].generated is not chunk[-1]:
                    self._changed.clear()
                    await self._changed.wait()

    def _on_frame(self, scheduled: ScheduledFrame, at_ns: int) -> None:
        self.played.append(scheduled)
        self._changed.set()

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


class Subscriber:
    """Fetches packets until it leaves."""

    def __init__(self, track: SubscriberTrack) -> None:
        self.track = track
        self.packets: list[Packet[Any]] = []
        self._fetching = asyncio.create_task(self._fetch())

    async def _fetch(self) -> None:
        while True:
            self.packets.append(await self.track.recv())

    async def leave(self) -> None:
        self.track.stop()
        with pytest.raises(MediaStreamError):
            await self._fetching


@asynccontextmanager
async def running_fanout() -> AsyncIterator[LiveFanout]:
    with ThreadPoolExecutor(1) as pool:
        live = LiveFanout(pool)
        running = asyncio.create_task(live.fanout.run())
        try:
            yield live
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)


async def subscribers_of(live: LiveFanout, count: int, *, codec: str = "H264") -> list[Subscriber]:
    subscribers = []
    for _ in range(count):
        track = live.fanout.track(ignore_sent)
        assert track.select_codec(codec)
        subscribers.append(Subscriber(track))
    await asyncio.sleep(0)  # each has requested its first frame
    return subscribers


@pytest.mark.parametrize("count", [1, 5])
async def test_every_frame_is_encoded_once_for_any_number_of_subscribers(count: int) -> None:
    """and each subscriber gets every packet, the very same one."""
    async with running_fanout() as live:
        subscribers = await subscribers_of(live, count)
        await live.play(chunks=5)
        for subscriber in subscribers:
            await subscriber.leave()
        assert live.h264.counts["sent"] == len(live.played) > 5
        for subscriber in subscribers:
            assert len(subscriber.packets) == len(live.played)
            assert all(
                a is b for a, b in zip(subscriber.packets, subscribers[0].packets, strict=True)
            )


async def test_without_viewers_nothing_is_encoded() -> None:
    """before the first joins and after the last has left; the frames are timed all the same."""
    async with running_fanout() as live:
        await live.play(chunks=2)
        assert live.played
        assert live.h264.counts["sent"] == 0
        (subscriber,) = await subscribers_of(live, 1)
        await live.play()
        await subscriber.leave()
        encoded = live.h264.counts["sent"]
        assert encoded > 0
        await live.play(chunks=2)
        assert live.h264.counts["sent"] == encoded
        assert live.fanout.subscriber_count == 0


async def test_a_late_subscriber_gets_a_key_frame_at_once() -> None:
    """its first packet; the earlier subscribers get that key frame too."""
    async with running_fanout() as live:
        (early,) = await subscribers_of(live, 1)
        await live.play(chunks=2)
        (late,) = await subscribers_of(live, 1)
        await live.play(chunks=2)
        await early.leave()
        await late.leave()
        assert late.packets[0].is_keyframe
        assert live.h264.counts["key"] == 2
        assert early.packets[-len(late.packets) :] == late.packets


async def test_a_subscriber_that_does_not_fetch_harms_itself_only() -> None:
    """its queue stays bounded; the others get every frame."""
    async with running_fanout() as live:
        lazy = live.fanout.track(ignore_sent)
        lazy.select_codec("H264")
        waiting = asyncio.create_task(lazy.recv())
        (busy,) = await subscribers_of(live, 1)
        await live.play(chunks=15)
        await busy.leave()
        await waiting
        assert lazy.queue.drops["unfetched"] > 0
        assert len(busy.packets) == len(live.played)
        lazy.stop()


def limit(track: SubscriberTrack, link_bps: int) -> None:
    """The subscriber says what its link carries, which is used up."""
    track.rate.on_packet_sent(10 * CEILING_BPS // 8, now_ns())
    track.rate.on_remb(link_bps, now_ns())


async def test_one_bad_link_does_not_lower_the_picture() -> None:
    """two of three do: the median's rate is the picture's."""
    async with running_fanout() as live:
        subscribers = await subscribers_of(live, 3)
        for subscriber in subscribers:
            limit(subscriber.track, 10_000_000)
        limit(subscribers[1].track, 100_000)
        await live.play()
        assert live.h264.rate.bitrate_bps == CEILING_BPS
        limit(subscribers[2].track, 1_000_000)
        await live.play()
        assert live.h264.rate.bitrate_bps == 850_000
        for subscriber in subscribers:
            await subscriber.leave()


async def test_viewers_without_h264_share_a_picture_of_their_own() -> None:
    """encoded once in VP8 for all of them, and in H.264 for the others; alone, in VP8 only."""
    async with running_fanout() as live:
        plain = await subscribers_of(live, 3, codec="VP8")
        await live.play()
        assert live.h264.counts["sent"] == 0
        (modern,) = await subscribers_of(live, 1)
        await live.play(chunks=2)
        for subscriber in (*plain, modern):
            await subscriber.leave()
        assert live.vp8.counts["sent"] == len(live.played)
        assert live.h264.counts["sent"] == len(modern.packets) < len(live.played)
        assert live.fanout.counts["sent"] == len(live.played) + len(modern.packets)
        for subscriber in plain:
            assert subscriber.packets == plain[0].packets
            assert len(subscriber.packets) == len(live.played)
        assert plain[0].packets[0].is_keyframe
        assert bytes(plain[0].packets[0])[3:6] == bytes((0x9D, 0x01, 0x2A))  # of a VP8 key frame


async def test_each_frame_sent_is_reported() -> None:
    """once the next one is requested, as by a track of one viewer alone."""
    async with running_fanout() as live:
        sent: list[ScheduledFrame] = []
        track = live.fanout.track(lambda scheduled, sent_ns: sent.append(scheduled))
        track.select_codec("H264")
        subscriber = Subscriber(track)
        await asyncio.sleep(0)
        await live.play(chunks=2)
        await subscriber.leave()
        assert sent == live.played[: len(sent)]
        assert len(sent) >= len(subscriber.packets) - 1 > 0


async def test_a_track_that_never_began_leaves_nothing() -> None:
    """a call that fails before media holds no queue."""
    async with running_fanout() as live:
        live.fanout.track(ignore_sent).stop()
        assert live.fanout.subscriber_count == 0

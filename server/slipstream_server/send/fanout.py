"""One stream's picture for all who watch it: paced once, encoded once, sent to each by itself.

The rate is that of the median viewer (the better one of two): a bad link never lowers the picture
of the others, and a viewer whose link carries less gets what `SubscriberQueue` leaves it. Requests
for key frames are merged. With nobody watching nothing is encoded. For viewers without H.264 there
is one encoding in VP8, by the same rules.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from aiortc import MediaStreamTrack
from aiortc.mediastreams import MediaStreamError
from av import Packet, VideoFrame
from slipstream_protocol.clock import NS_PER_S, now_ns

from slipstream_server.frames.playout import GeneratedFrame, Playout, ScheduledFrame
from slipstream_server.send.adaptive_encoder import AdaptiveEncoder, pacing_bps
from slipstream_server.send.bandwidth import RateControl
from slipstream_server.send.output_track import PlayoutSource
from slipstream_server.send.pacer import Pacer
from slipstream_server.send.subscriber_queue import SubscriberQueue

KEY_EVERY_NS = 10 * NS_PER_S  # for viewers that never ask


class SubscriberTrack(MediaStreamTrack):
    """One viewer's end: a seat, and what its side says of the link.

    The seat is taken when the first frame is asked for, which is when the viewer is connected, and
    given back by `stop`.

    Args:
        rate: of this viewer.
        tracks: those of all who have a seat.
        on_sent: is told of each frame and of the time it was sent, as by `OutputTrack`.
    """

    kind = "video"

    def __init__(
        self,
        rate: RateControl,
        tracks: "list[SubscriberTrack]",
        on_sent: Callable[[ScheduledFrame, int], None],
    ) -> None:
        super().__init__()
        self.rate = rate
        self.pacer = Pacer(pace_bps=pacing_bps(rate.bitrate_bps))
        self.codec = ""
        self.seat: SubscriberQueue[tuple[ScheduledFrame, Packet[Any]]] = SubscriberQueue()
        self._tracks = tracks
        self._on_sent = on_sent
        self._given: ScheduledFrame | None = None
        self._sent: Counter[str] = Counter()
        self._came = asyncio.Event()

    @property
    def counts(self) -> dict[str, int]:
        """Frames `sent`, and those left out by cause."""
        return {**self._sent, **self.seat.drops}

    def takes(self, codec: str) -> bool:
        """The viewer takes this codec, and gets packets of it."""
        self.codec = codec
        return True

    def put(self, scheduled: ScheduledFrame, packet: "Packet[Any]", now_ns: int) -> None:
        """Take in what was encoded for all."""
        self.seat.put(
            (scheduled, packet),
            size_bytes=packet.size,
            key=packet.is_keyframe,
            link_bps=self.rate.bitrate_bps,
            now_ns=now_ns,
        )
        self._came.set()

    async def recv(self) -> "Packet[Any]":
        """The next frame, as soon as it is there.

        Raises:
            MediaStreamError: if the track was stopped.
        """
        if self._given is not None:
            given, self._given = self._given, None
            self._on_sent(given, now_ns())
        while self.readyState == "live":
            if self not in self._tracks:
                self._tracks.append(self)
            found = self.seat.pop()
            if found is not None:
                self._given, packet = found
                self._sent["sent"] += 1
                self.pacer.pace_bps = pacing_bps(self.rate.bitrate_bps)
                return packet
            self._came.clear()
            await self._came.wait()
        raise MediaStreamError

    def stop(self) -> None:
        super().stop()
        if self in self._tracks:
            self._tracks.remove(self)
        self._came.set()

    # ---- what the viewer's side says

    def on_key_request(self) -> None:
        self.seat.request_key()

    def on_remb(self, bitrate_bps: int) -> None:
        self.rate.on_remb(bitrate_bps)

    def on_report(self, *, packets_lost: int, highest_sequence: int, now_ns: int) -> None:
        self.rate.on_report(
            packets_lost=packets_lost, highest_sequence=highest_sequence, now_ns=now_ns
        )


class Fanout:
    """Frames in by `push`, each out to every seat while `run` runs.

    Args:
        chunk_frames: of the stream.
        h264, vp8: the encodings of the one picture.
        new_rate: makes the rate of one more viewer.
        on_frame: is told of each frame that has been given out, and when. With it the frames are
            timed without viewers too; nothing is encoded then.
    """

    def __init__(
        self,
        *,
        chunk_frames: int,
        h264: AdaptiveEncoder,
        vp8: AdaptiveEncoder,
        new_rate: Callable[[], RateControl],
        on_frame: Callable[[ScheduledFrame, int], None] | None = None,
    ) -> None:
        self.pictures = PlayoutSource(Playout(chunk_frames=chunk_frames))
        self.encodings = {"H264": h264, "VP8": vp8}
        h264.encode_h264()
        vp8.encode_vp8()
        self._new_rate = new_rate
        self._on_frame = on_frame
        self._tracks: list[SubscriberTrack] = []

    @property
    def counts(self) -> Mapping[str, int]:
        """Those of both encodings."""
        return sum((Counter(one.counts) for one in self.encodings.values()), Counter[str]())

    @property
    def subscribers(self) -> int:
        return len(self._tracks)

    def track(self, on_sent: Callable[[ScheduledFrame, int], None]) -> SubscriberTrack:
        """A track for one more viewer, who is told of each frame sent."""
        return SubscriberTrack(self._new_rate(), self._tracks, on_sent)

    def push(self, frames: Sequence[GeneratedFrame]) -> None:
        """Take in one chunk, oldest frame first."""
        if self._tracks or self._on_frame is not None:
            self.pictures.push(frames)

    async def run(self) -> None:
        """Give out each frame when it is due, until cancelled."""
        try:
            while True:
                scheduled = await self.pictures.next()
                if self._tracks:
                    await self._give_out(scheduled)
                if self._on_frame is not None:
                    self._on_frame(scheduled, now_ns())
        finally:
            for encoding in self.encodings.values():
                encoding.release()

    async def _give_out(self, scheduled: ScheduledFrame) -> None:
        every_frames = []
        for codec, encoding in self.encodings.items():
            viewers = [track for track in self._tracks if track.codec == codec]
            if not viewers:
                continue
            packet = await self._encode(encoding, self.pictures.picture(scheduled), viewers)
            every_frames.append(encoding.every_frames)
            now = now_ns()
            for track in self._tracks:  # also to who has come meanwhile: a seat knows what to do
                if track.codec == codec:
                    track.put(scheduled, packet, now)
        self.pictures.playout.every_frames = min(every_frames, default=1)

    async def _encode(
        self, encoding: AdaptiveEncoder, picture: VideoFrame, viewers: list[SubscriberTrack]
    ) -> "Packet[Any]":
        by_rate = sorted((track.rate for track in viewers), key=lambda rate: rate.bitrate_bps)
        encoding.rate = by_rate[len(by_rate) // 2]
        if any(track.seat.wants_key(now_ns()) for track in viewers):
            encoding.on_key_request()
        packet = await encoding.encode(picture)
        assert isinstance(packet, Packet), "the encodings give packets"
        return packet

"""One stream's picture for all its subscribers: paced once, encoded once, sent to each by itself.

The bitrate is that of the median subscriber (the better one of two): a bad link never lowers the
picture of the others, and a subscriber whose link carries less is served by the rules of its
`SubscriberQueue`. Requests for key frames are merged. Without subscribers nothing is encoded. For
subscribers without H.264 there is one encoding in VP8, by the same rules.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from aiortc import MediaStreamTrack
from aiortc.mediastreams import MediaStreamError
from av import Packet, VideoFrame
from slipstream_protocol.clock import NS_PER_S, now_ns

from slipstream_server.frames.playout import GeneratedFrame, Playout, ScheduledFrame
from slipstream_server.send.adaptive_encoder import AdaptiveEncoder, pacing_bps
from slipstream_server.send.bandwidth import RateControl
from slipstream_server.send.output_track import OnSent, PlayoutSource, SentReporter
from slipstream_server.send.pacer import Pacer
from slipstream_server.send.subscriber_queue import SubscriberQueue

KEY_EVERY_NS = 10 * NS_PER_S  # for subscribers that never request a key frame


class PacketSink(Protocol):
    """Where the packets of one codec go.

    Attributes:
        codec: as aiortc names it ("H264", "VP8").
        rate: of its link; None where it takes any.
    """

    codec: str

    @property
    def rate(self) -> RateControl | None: ...

    def wants_key(self, now_ns: int) -> bool:
        """Whether to encode a key frame for it now."""
        ...

    def push(self, scheduled: ScheduledFrame, packet: "Packet[Any]", now_ns: int) -> None: ...


class SubscriberTrack(MediaStreamTrack):
    """The picture of one subscriber: its queue, its rate, and the feedback of its side.

    It joins `tracks` when the first frame is requested, which is when the subscriber is connected,
    and leaves with `stop`.

    Args:
        rate: of this subscriber.
        tracks: of all connected subscribers.
        on_sent: called with each frame sent.
    """

    kind = "video"

    def __init__(self, rate: RateControl, tracks: "list[SubscriberTrack]", on_sent: OnSent) -> None:
        super().__init__()
        self.rate = rate
        self.pacer = Pacer(pace_bps=pacing_bps(rate.bitrate_bps))
        self.codec = ""
        self.queue: SubscriberQueue[tuple[ScheduledFrame, Packet[Any]]] = SubscriberQueue()
        self._tracks = tracks
        self._reporter = SentReporter(on_sent)
        self._sent: Counter[str] = Counter()
        self._changed = asyncio.Event()

    @property
    def counts(self) -> dict[str, int]:
        """Frames `sent`, and those dropped by cause."""
        return {**self._sent, **self.queue.drops}

    def select_codec(self, codec: str) -> bool:
        """Use a negotiated codec ("H264", "VP8"); the track always gives packets of it."""
        self.codec = codec
        return True

    def wants_key(self, now_ns: int) -> bool:
        """As `SubscriberQueue.wants_key`."""
        return self.queue.wants_key(now_ns)

    def push(self, scheduled: ScheduledFrame, packet: "Packet[Any]", now_ns: int) -> None:
        """Take in a frame that was encoded for all."""
        self.queue.push(
            (scheduled, packet),
            size_bytes=packet.size,
            is_key=packet.is_keyframe,
            link_bps=self.rate.bitrate_bps,
            now_ns=now_ns,
        )
        self._changed.set()

    async def recv(self) -> "Packet[Any]":
        """The next frame, as soon as it is there.

        Raises:
            MediaStreamError: if the track was stopped.
        """
        self._reporter.on_request()
        while self.readyState == "live":
            if self not in self._tracks:
                self._tracks.append(self)
            popped = self.queue.pop()
            if popped is not None:
                scheduled, packet = popped
                self._reporter.hand_over(scheduled)
                self._sent["sent"] += 1
                self.pacer.pace_bps = pacing_bps(self.rate.bitrate_bps)
                return packet
            self._changed.clear()
            await self._changed.wait()
        raise MediaStreamError

    def stop(self) -> None:
        super().stop()
        if self in self._tracks:
            self._tracks.remove(self)
        self._changed.set()

    # ---- feedback of the subscriber's side

    def on_key_request(self) -> None:
        self.queue.request_key()


class Fanout:
    """Takes frames by `push`, and sends each to every subscriber while `run` runs.

    Args:
        chunk_frames: of the stream.
        h264, vp8: the encodings of the one picture.
        new_rate: makes the rate of one more subscriber.
        on_frame: called with each frame that is due, once it was encoded for the subscribers, and
            when. With it frames are timed without subscribers too; nothing is encoded then.
    """

    def __init__(
        self,
        *,
        chunk_frames: int,
        h264: AdaptiveEncoder,
        vp8: AdaptiveEncoder,
        new_rate: Callable[[], RateControl],
        on_frame: OnSent | None = None,
    ) -> None:
        self.playout = Playout(chunk_frames=chunk_frames)
        self._source = PlayoutSource(self.playout)
        self.encodings = {"H264": h264, "VP8": vp8}
        h264.use_h264()
        vp8.use_vp8()
        self._new_rate = new_rate
        self._any_rate = new_rate()  # where nobody has a link
        self._on_frame = on_frame
        self.sinks: list[PacketSink] = []  # beside the subscribers
        self._tracks: list[SubscriberTrack] = []

    @property
    def counts(self) -> Mapping[str, int]:
        """Sums over both encodings, as `AdaptiveEncoder.counts`."""
        return sum((Counter(one.counts) for one in self.encodings.values()), Counter[str]())

    @property
    def subscriber_count(self) -> int:
        """How many subscribers are connected."""
        return len(self._tracks)

    def track(self, on_sent: OnSent) -> SubscriberTrack:
        """A track for one more subscriber."""
        return SubscriberTrack(self._new_rate(), self._tracks, on_sent)

    def push(self, frames: Sequence[GeneratedFrame]) -> None:
        """Take in one chunk, oldest frame first."""
        if self._tracks or self.sinks or self._on_frame is not None:
            self._source.push(frames)

    async def run(self) -> None:
        """Send each frame when it is due, until cancelled."""
        try:
            while True:
                scheduled = await self._source.next_frame()
                if self._tracks or self.sinks:
                    await self._send(scheduled)
                if self._on_frame is not None:
                    self._on_frame(scheduled, now_ns())
        finally:
            for encoding in self.encodings.values():
                encoding.release()

    async def _send(self, scheduled: ScheduledFrame) -> None:
        """Encode the frame once for each codec, and queue it for every subscriber."""
        every_frames = []
        for codec, encoding in self.encodings.items():
            sinks = [sink for sink in self._receivers() if sink.codec == codec]
            if not sinks:
                continue
            packet = await self._encode(encoding, self._source.picture_of(scheduled), sinks)
            every_frames.append(encoding.every_frames)
            now = now_ns()
            for sink in self._receivers():  # with those that joined while it was encoded
                if sink.codec == codec:
                    sink.push(scheduled, packet, now)
        self.playout.every_frames = min(every_frames, default=1)

    def _receivers(self) -> "list[PacketSink]":
        receivers: list[PacketSink] = list(self.sinks)
        receivers.extend(self._tracks)
        return receivers

    async def _encode(
        self, encoding: AdaptiveEncoder, picture: VideoFrame, sinks: list[PacketSink]
    ) -> "Packet[Any]":
        rates = [sink.rate for sink in sinks if sink.rate is not None] or [self._any_rate]
        by_bitrate = sorted(rates, key=lambda rate: rate.bitrate_bps)
        encoding.rate = by_bitrate[len(by_bitrate) // 2]
        if any(sink.wants_key(now_ns()) for sink in sinks):
            encoding.on_key_request()
        packet = await encoding.encode(picture)
        assert isinstance(packet, Packet), "the encodings give packets"
        return packet

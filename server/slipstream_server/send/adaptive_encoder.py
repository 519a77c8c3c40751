"""Pictures into packets, in a worker, at the rate that a viewer's link carries.

aiortc only cuts such packets up and sends them. Where the one viewer of a picture takes no H.264 it
passes through as it is, and aiortc's VP8 encoder and its rate take over.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any

import av
from aiortc.mediastreams import convert_timebase
from av import VideoFrame
from slipstream_protocol.clock import RTP_HZ, now_ns

from slipstream_server.send.bandwidth import FrameSpacing, PictureFormat, RateControl
from slipstream_server.send.h264 import TIME_BASE, X264, EncodedPicture, H264Codec, H264Encoder
from slipstream_server.send.keyframes import KeyFrameScheduler
from slipstream_server.send.pacer import Pacer
from slipstream_server.send.vp8 import Vp8Encoder

logger = logging.getLogger(__name__)

_FPS = 24.0  # until two frames have come
_FPS_SHARE = 8  # a new interval moves the estimate by one part in this many
_PAUSE_TICKS = RTP_HZ  # a longer interval is a pause, not a frame rate
_PACE_FACTOR = 8  # packets of a large frame leave at this many times the bitrate
_PACE_MIN_BPS = 12_000_000


def pacing_bps(bitrate_bps: int) -> int:
    """How fast the packets of a large frame leave, in bit/s."""
    return max(_PACE_MIN_BPS, _PACE_FACTOR * bitrate_bps)


@dataclass(frozen=True, slots=True, kw_only=True)
class VideoSettings:
    """How pictures are sent, to every viewer.

    Args:
        codec: of H.264.
        ceiling_bps: the most a picture may take.
        low_delay: whether viewers are asked to show each frame at once.
    """

    codec: H264Codec
    ceiling_bps: int
    low_delay: bool


class AdaptiveEncoder:
    """Encodes one frame at a time, following what the viewer's side says of the link.

    Args:
        codec: of H.264.
        pool: where frames are encoded.
        rate: of this viewer.
        key_frames: of this viewer.
    """

    def __init__(
        self, *, codec: H264Codec, pool: Executor, rate: RateControl, key_frames: KeyFrameScheduler
    ) -> None:
        self.rate = rate
        self.pacer = Pacer(pace_bps=_PACE_MIN_BPS)
        self._pool = pool
        self._codec = codec
        self._key_frames = key_frames
        self._encoder: H264Encoder | Vp8Encoder | None = None
        self._opened = 0  # by encoders that were given up
        self._spacing = FrameSpacing()
        self._counts: Counter[str] = Counter()
        self._fps = _FPS
        self._last_pts: int | None = None

    def takes(self, codec: str) -> bool:
        """The viewer takes this codec ("H264", "VP8"): `encode` gives packets if it is H.264."""
        if codec == "H264":
            self.encode_h264()
        return codec == "H264"

    def encode_h264(self) -> None:
        """Give packets of H.264 from now on."""
        self._encoder = H264Encoder(self._codec, ceiling_bps=self.rate.ceiling_bps)

    def encode_vp8(self) -> None:
        """Give packets of VP8 from now on."""
        self._encoder = Vp8Encoder()

    def release(self) -> None:
        """Give the encoder's memory back, megabytes that would wait for the cycle collector."""
        if self._encoder is not None:
            self._opened += self._encoder.opened
            self._encoder = None

    @property
    def every_frames(self) -> int:
        """One in so many frames is to be sent: 1 on a good link, more on a poor one."""
        return self._spacing.every_frames

    @property
    def counts(self) -> Mapping[str, int]:
        """Frames `sent`, `key` frames among them, `bytes`; key frames `asked` for; how often an
        encoder was `opened`."""
        opened = self._opened + (self._encoder.opened if self._encoder is not None else 0)
        return self._counts + Counter(asked=self._key_frames.requests, opened=opened)

    async def encode(self, frame: VideoFrame) -> "VideoFrame | av.Packet[Any]":
        """The frame's packet once a codec was set, else the frame. One at a time.

        Raises:
            av.FFmpegError: if x264 or libvpx fails.
        """
        if self._encoder is None:
            return frame
        self._time(frame)
        key = self._key_frames.due(now_ns())
        loop = asyncio.get_running_loop()
        encoded = await loop.run_in_executor(self._pool, self._encode, self._encoder, frame, key)
        if encoded.key:
            self._key_frames.sent(now_ns())
            self._counts["key"] += 1
        self._counts["sent"] += 1
        self._counts["bytes"] += encoded.packet.size
        self.pacer.pace_bps = pacing_bps(self.rate.bitrate_bps)
        return encoded.packet

    # ---- what the viewer's side says

    def on_key_request(self) -> None:
        self._key_frames.request()

    def on_remb(self, bitrate_bps: int) -> None:
        self.rate.on_remb(bitrate_bps)

    def on_report(self, *, packets_lost: int, highest_sequence: int, now_ns: int) -> None:
        self.rate.on_report(
            packets_lost=packets_lost, highest_sequence=highest_sequence, now_ns=now_ns
        )

    # ---- a frame into a packet

    def _time(self, frame: VideoFrame) -> None:
        """Put the frame on the RTP clock, follow the frame rate, choose the next one."""
        assert frame.pts is not None and frame.time_base is not None, "a picture has its time"
        frame.pts = convert_timebase(frame.pts, frame.time_base, TIME_BASE)
        frame.time_base = TIME_BASE
        if self._last_pts is not None and 0 < frame.pts - self._last_pts < _PAUSE_TICKS:
            interval_s = (frame.pts - self._last_pts) / RTP_HZ
            mean_s = 1 / self._fps
            self._fps = 1 / (mean_s + (interval_s - mean_s) / _FPS_SHARE)
        self._last_pts = frame.pts
        before = self.every_frames
        picture = PictureFormat(pixels=frame.width * frame.height, fps=self._fps * before)
        self._spacing.choose(picture, self.rate.bitrate_bps)
        self._fps *= before / self.every_frames

    def _encode(
        self, encoder: H264Encoder | Vp8Encoder, frame: VideoFrame, key: bool
    ) -> EncodedPicture:
        if frame.format.name != "yuv420p":
            frame = frame.reformat(format="yuv420p")
        bitrate_bps = self.rate.bitrate_bps
        try:
            return encoder.encode(frame, bitrate_bps=bitrate_bps, fps=self._fps, key=key)
        except av.FFmpegError:
            if self._codec is X264 or isinstance(encoder, Vp8Encoder):
                raise
            logger.exception("%s failed, %s takes over", self._codec.name, X264.name)
        self._codec = X264
        self._opened += encoder.opened
        self._encoder = H264Encoder(X264, ceiling_bps=self.rate.ceiling_bps)
        return self._encoder.encode(frame, bitrate_bps=bitrate_bps, fps=self._fps, key=True)

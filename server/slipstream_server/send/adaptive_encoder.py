"""Pictures into packets, in a worker thread, at the bitrate that a viewer's link carries.

aiortc only packetises and sends what comes out. Where the one viewer of a picture takes no H.264,
pictures pass through as they are, and aiortc's VP8 encoder and its rate control are used.
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

from slipstream_server.send.bandwidth import FrameSpacing, MeanRate, PictureFormat, RateControl
from slipstream_server.send.encoder_context import TIME_BASE, EncodedPicture
from slipstream_server.send.h264 import X264, H264Codec, H264Encoder
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
        codec: the H.264 encoder.
        ceiling_bps: the highest bitrate of a picture.
        low_delay: whether viewers are to show each frame at once.
    """

    codec: H264Codec
    ceiling_bps: int
    low_delay: bool


class AdaptiveEncoder:
    """Encodes one frame at a time, at a bitrate and a frame rate that follow the viewer's link.

    It takes the viewer's feedback: on key frames by `on_key_request`, on the link by `rate`.

    Args:
        codec: the H.264 encoder.
        pool: where frames are encoded.
        rate: of this viewer; may be replaced between two frames.
        key_frames: of this viewer.
    """

    def __init__(
        self,
        *,
        codec: H264Codec,
        pool: Executor,
        rate: RateControl,
        key_frames: KeyFrameScheduler,
    ) -> None:
        self.rate = rate
        self.pacer = Pacer(pace_bps=_PACE_MIN_BPS)
        self._pool = pool
        self._codec = codec
        self._key_frames = key_frames
        self._encoder: H264Encoder | Vp8Encoder | None = None
        self._opened_before = 0  # times that encoders were opened which are no longer in use
        self._spacing = FrameSpacing()
        self._used = MeanRate()
        self._counts: Counter[str] = Counter()
        self._fps = _FPS  # of the frames that come to be encoded
        self._last_pts: int | None = None

    def select_codec(self, codec: str) -> bool:
        """Use a negotiated codec ("H264", "VP8"); returns whether `encode` gives packets of it."""
        if codec == "H264":
            self.use_h264()
        return codec == "H264"

    def use_h264(self) -> None:
        """Give packets of H.264 from now on."""
        self._encoder = H264Encoder(self._codec, ceiling_bps=self.rate.ceiling_bps)

    def use_vp8(self) -> None:
        """Give packets of VP8 from now on."""
        self._encoder = Vp8Encoder()

    def release(self) -> None:
        """Free the encoder's memory, megabytes that would wait for the cycle collector."""
        if self._encoder is not None:
            self._opened_before += self._encoder.opened
            self._encoder = None

    @property
    def every_frames(self) -> int:
        """One in so many frames is to be sent: 1 on a good link, more on a poor one."""
        return self._spacing.every_frames

    @property
    def counts(self) -> Mapping[str, int]:
        """Frames `sent`, `key` frames among them, `bytes`; key frames `asked` for; how often an
        encoder was `opened`."""
        opened = self._opened_before + (self._encoder.opened if self._encoder is not None else 0)
        return self._counts + Counter(asked=self._key_frames.requests, opened=opened)

    async def encode(self, frame: VideoFrame) -> "VideoFrame | av.Packet[Any]":
        """The frame's packet once a codec was set, else the frame. One at a time.

        Raises:
            av.FFmpegError: if x264 or libvpx fails.
        """
        if self._encoder is None:
            return frame
        self._follow_frame_rate(_put_on_rtp_clock(frame))
        self._choose_spacing(pixels=frame.width * frame.height)
        force_key = self._key_frames.is_due(now_ns())
        loop = asyncio.get_running_loop()
        encoded = await loop.run_in_executor(
            self._pool, self._encode, self._encoder, frame, force_key
        )
        if encoded.is_key:
            self._key_frames.on_sent(now_ns())
            self._counts["key"] += 1
        self._counts["sent"] += 1
        self._counts["bytes"] += encoded.packet.size
        self._used.add(encoded.packet.size, now_ns())
        self.pacer.pace_bps = pacing_bps(self.rate.bitrate_bps)
        return encoded.packet

    # ---- feedback of the viewer's side

    def on_key_request(self) -> None:
        self._key_frames.request()

    # ---- a frame into a packet

    def _follow_frame_rate(self, pts: int) -> None:
        """Take the interval from the last frame into the mean."""
        if self._last_pts is not None and 0 < pts - self._last_pts < _PAUSE_TICKS:
            interval_s = (pts - self._last_pts) / RTP_HZ
            mean_s = 1 / self._fps
            self._fps = 1 / (mean_s + (interval_s - mean_s) / _FPS_SHARE)
        self._last_pts = pts

    def _choose_spacing(self, *, pixels: int) -> None:
        """Choose how many frames to leave out; fewer or more of them come from here on."""
        before = self.every_frames
        generated_fps = self._fps * before
        picture = PictureFormat(pixels=pixels, fps=generated_fps)
        self._spacing.choose(picture, self.rate.bitrate_bps, used_bps=self._used.bps(now_ns()))
        self._fps *= before / self.every_frames

    def _encode(
        self, encoder: H264Encoder | Vp8Encoder, frame: VideoFrame, force_key: bool
    ) -> EncodedPicture:
        if frame.format.name != "yuv420p":
            frame = frame.reformat(format="yuv420p")
        bitrate_bps = self.rate.bitrate_bps
        try:
            return encoder.encode(
                frame, bitrate_bps=bitrate_bps, fps=self._fps, force_key=force_key
            )
        except av.FFmpegError:
            if self._codec is X264 or isinstance(encoder, Vp8Encoder):
                raise
            logger.exception("%s failed, %s takes over", self._codec.name, X264.name)
        self._codec = X264
        self._opened_before += encoder.opened
        self._encoder = H264Encoder(X264, ceiling_bps=self.rate.ceiling_bps)
        return self._encoder.encode(frame, bitrate_bps=bitrate_bps, fps=self._fps, force_key=True)


def _put_on_rtp_clock(frame: VideoFrame) -> int:
    """Convert the frame's pts to 90 kHz, in place; returns it."""
    assert frame.pts is not None and frame.time_base is not None, "a picture has its time"
    frame.pts = convert_timebase(frame.pts, frame.time_base, TIME_BASE)
    frame.time_base = TIME_BASE
    assert frame.pts is not None, "it was converted"
    return frame.pts

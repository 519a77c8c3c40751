"""A track of pictures into a track of H.264 packets, encoded in our own worker at our own rate.

aiortc only cuts such packets up and sends them. Where the viewer takes no H.264 the pictures pass
through as they are, and aiortc's VP8 encoder and its rate take over.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import Executor
from typing import Any

import av
from aiortc import MediaStreamTrack
from aiortc.mediastreams import convert_timebase
from av import VideoFrame
from slipstream_protocol.clock import RTP_HZ, now_ns

from slipstream_server.encoder import TIME_BASE, X264, Codec, Encoded, H264Encoder
from slipstream_server.keyframes import KeyFrames
from slipstream_server.pacer import Pacer
from slipstream_server.rate import FrameThinner, Picture, RateControl

logger = logging.getLogger(__name__)

_FPS = 24.0  # until two frames have come
_FPS_SHARE = 8  # a new interval moves the estimate by one part in this many
_PAUSE_TICKS = RTP_HZ  # a longer interval is a pause, not a frame rate
_PACE_FACTOR = 8  # packets of a large frame leave at this many times the bitrate
_PACE_MIN_BPS = 12_000_000


class EncodedTrack(MediaStreamTrack):
    """Encodes what `source` shows, following what the viewer's side says of the link.

    Args:
        source: gives yuv420p pictures at their time.
        codec: of H.264.
        pool: where frames are encoded, one of this track at a time.
        rate: of this viewer.
        key_frames: of this viewer.
    """

    kind = "video"

    def __init__(
        self,
        source: MediaStreamTrack,
        *,
        codec: Codec,
        pool: Executor,
        rate: RateControl,
        key_frames: KeyFrames,
    ) -> None:
        super().__init__()
        self.rate = rate
        self.key_frames = key_frames
        self.pacer = Pacer(pace_bps=_PACE_MIN_BPS)
        self._source = source
        self._pool = pool
        self._codec = codec
        self._encoder: H264Encoder | None = None
        self._thinner = FrameThinner()
        self._counts: Counter[str] = Counter()
        self._fps = _FPS
        self._last_pts: int | None = None

    def encode_h264(self) -> None:
        """The viewer takes H.264: `recv` gives packets from now on."""
        self._encoder = H264Encoder(self._codec, ceiling_bps=self.rate.ceiling_bps)

    def counts(self) -> Mapping[str, int]:
        """Frames sent, key frames among them, frames thinned out, bytes."""
        return self._counts

    async def recv(self) -> "VideoFrame | av.Packet[Any]":
        """The next picture, encoded where the viewer takes H.264.

        Raises:
            MediaStreamError: if the source has ended.
        """
        while True:
            frame = await self._source.recv()
            assert isinstance(frame, VideoFrame), f"the source gave a {type(frame).__name__}"
            if self._encoder is None:
                return frame
            self._time(frame)
            picture = Picture(pixels=frame.width * frame.height, fps=self._fps)
            if not self._thinner.keeps(picture, self.rate.bitrate_bps):
                self._counts["thinned"] += 1
                continue
            return (await self._encode(self._encoder, frame)).packet

    def stop(self) -> None:
        super().stop()
        self._source.stop()

    # ---- what the viewer's side says

    def on_key_request(self) -> None:
        self.key_frames.request()

    def on_remb(self, bitrate_bps: int) -> None:
        self.rate.on_remb(bitrate_bps)

    def on_loss(self, share: float, now_ns: int) -> None:
        self.rate.on_loss(share, now_ns)

    # ---- frames into packets

    async def _encode(self, encoder: H264Encoder, frame: VideoFrame) -> Encoded:
        loop = asyncio.get_running_loop()
        key = self.key_frames.due(now_ns())
        encoded = await loop.run_in_executor(self._pool, self._encode_in_pool, encoder, frame, key)
        if encoded.key:
            self.key_frames.sent(now_ns())
            self._counts["key"] += 1
        self._counts["sent"] += 1
        self._counts["bytes"] += encoded.packet.size
        self.pacer.pace_bps = max(_PACE_MIN_BPS, _PACE_FACTOR * self.rate.bitrate_bps)
        return encoded

    def _encode_in_pool(self, encoder: H264Encoder, frame: VideoFrame, key: bool) -> Encoded:
        if frame.format.name != "yuv420p":
            frame = frame.reformat(format="yuv420p")
        bitrate_bps = self.rate.bitrate_bps
        fps = self._fps * float(self._thinner.share)
        try:
            return encoder.encode(frame, bitrate_bps=bitrate_bps, fps=fps, key=key)
        except av.FFmpegError:
            if self._codec is X264:
                raise
            logger.exception("%s failed, %s takes over", self._codec.name, X264.name)
        self._codec = X264
        self._encoder = H264Encoder(X264, ceiling_bps=self.rate.ceiling_bps)
        return self._encoder.encode(frame, bitrate_bps=bitrate_bps, fps=fps, key=True)

    def _time(self, frame: VideoFrame) -> None:
        """Put the frame on the RTP clock and follow the frame rate."""
        assert frame.pts is not None and frame.time_base is not None, "a picture has its time"
        frame.pts = convert_timebase(frame.pts, frame.time_base, TIME_BASE)
        frame.time_base = TIME_BASE
        if self._last_pts is not None and 0 < frame.pts - self._last_pts < _PAUSE_TICKS:
            interval_s = (frame.pts - self._last_pts) / RTP_HZ
            mean_s = 1 / self._fps
            self._fps = 1 / (mean_s + (interval_s - mean_s) / _FPS_SHARE)
        self._last_pts = frame.pts

"""What every call and every stream shares: metrics, threads for pixels, how video is sent."""

from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass

from slipstream_server.frames.playout import Shown
from slipstream_server.media_addressing import Reach
from slipstream_server.observability.metrics import Metrics
from slipstream_server.observability.slo import SloTargets
from slipstream_server.send.adaptive_encoder import Encoding, VideoSettings
from slipstream_server.send.bandwidth import RateControl
from slipstream_server.send.fanout import KEY_EVERY_NS, Broadcast
from slipstream_server.send.keyframes import KeyFrames


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What every session shares."""

    metrics: Metrics
    targets: SloTargets
    pool: Executor
    reach: Reach
    video: VideoSettings

    def encoding(self) -> Encoding:
        """An encoding for one more viewer."""
        return Encoding(
            codec=self.video.codec,
            pool=self.pool,
            rate=self.rate(),
            key_frames=KeyFrames(),
        )

    def rate(self) -> RateControl:
        """The rate of one more viewer."""
        return RateControl(ceiling_bps=self.video.ceiling_bps)

    def broadcast(
        self, *, chunk_frames: int, on_shown: Callable[[Shown, int], None] | None
    ) -> Broadcast:
        """One stream's picture for all its watchers."""
        h264, vp8 = (
            Encoding(
                codec=self.video.codec,
                pool=self.pool,
                rate=self.rate(),
                key_frames=KeyFrames(every_ns=KEY_EVERY_NS),
            )
            for _ in range(2)
        )
        return Broadcast(
            chunk_frames=chunk_frames, h264=h264, vp8=vp8, new_rate=self.rate, on_shown=on_shown
        )

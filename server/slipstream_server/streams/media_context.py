"""What all calls and streams share: metrics, threads for pixels, how video is sent."""

from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass, field

from slipstream_server.frames.playout import ScheduledFrame
from slipstream_server.ice.media_port import MediaPort
from slipstream_server.ladder.device_share import DeviceShare
from slipstream_server.ladder.settings import LadderSettings
from slipstream_server.media_addressing import MediaAddressing
from slipstream_server.observability.metrics import Metrics
from slipstream_server.observability.slo_report import SloTargets
from slipstream_server.recordings.folder import RecordingsFolder
from slipstream_server.send.adaptive_encoder import AdaptiveEncoder, VideoSettings
from slipstream_server.send.bandwidth import RateControl
from slipstream_server.send.fanout import KEY_EVERY_NS, Fanout
from slipstream_server.send.keyframes import KeyFrameScheduler


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaContext:
    """What all calls and streams share.

    Args:
        metrics: of the whole server.
        targets: of every stream's service levels.
        pool: threads for pixels: scaling, encoding.
        media_addressing: ports and addresses of the media.
        media_port: that all calls share; None if each has ports of its own.
        ladder: the quality levels of streams.
        recordings: where streams are recorded; None where they are not.
        sound: whether callers' sound is taken, and goes with their pictures.
        device_share: how streams share the engine's device.
        video: how video is encoded and sent.
    """

    metrics: Metrics
    targets: SloTargets
    pool: Executor
    media_addressing: MediaAddressing
    video: VideoSettings
    media_port: MediaPort | None = None
    recordings: RecordingsFolder | None = None
    sound: bool = True
    ladder: LadderSettings = field(default_factory=LadderSettings)
    device_share: DeviceShare = field(default_factory=DeviceShare)

    def new_encoder(self) -> AdaptiveEncoder:
        """An encoder for one more receiver."""
        return AdaptiveEncoder(
            codec=self.video.codec,
            pool=self.pool,
            rate=self.new_rate(),
            key_frames=KeyFrameScheduler(),
        )

    def new_rate(self) -> RateControl:
        """The rate control of one more receiver."""
        return RateControl(ceiling_bps=self.video.ceiling_bps)

    def new_fanout(
        self, *, chunk_frames: int, on_frame: Callable[[ScheduledFrame, int], None] | None
    ) -> Fanout:
        """The fan-out of one stream's video to all its subscribers; `on_frame` as there."""
        h264, vp8 = (
            AdaptiveEncoder(
                codec=self.video.codec,
                pool=self.pool,
                rate=self.new_rate(),
                key_frames=KeyFrameScheduler(every_ns=KEY_EVERY_NS),
            )
            for _ in range(2)
        )
        return Fanout(
            chunk_frames=chunk_frames, h264=h264, vp8=vp8, new_rate=self.new_rate, on_frame=on_frame
        )

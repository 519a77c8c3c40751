"""Readings of a stream on a played device."""

from slipstream_protocol.clock import NS_PER_MS, NS_PER_S
from slipstream_protocol.levels import Level
from slipstream_server.ladder.promise import Reading, ViewerPromise

PROMISE = ViewerPromise(
    age_ns=NS_PER_S, fps=16.0, chunk_frames=4, work_by_scale={256: 1.0, 192: 0.5}
)


def reading(
    level: Level,
    *,
    codec_ms: float = 40.0,
    step_ms: float = 40.0,
    beside_ms: float = 0.0,
    camera_fps: float = 30.0,
    link_ms: float = 0.0,
) -> Reading:
    """What a device says that takes this long, beside other work, for a stream at `level`."""
    share = PROMISE.work_share(level)
    denoise_ms = share * step_ms * level.steps
    work_ms = share * codec_ms + denoise_ms
    filling_ms = PROMISE.filling_ns(camera_fps, level) / NS_PER_MS
    period_ms = max(filling_ms, work_ms + beside_ms)
    return Reading(
        level=level,
        age_ns=(0.75 * period_ms + work_ms + beside_ms / 2 + link_ms) * NS_PER_MS,
        period_ns=period_ms * NS_PER_MS,
        work_ns=work_ms * NS_PER_MS,
        denoise_ns=denoise_ms * NS_PER_MS,
        camera_fps=camera_fps,
    )

"""What a stream promises, and how near it is to breaking it, at its level or another. Pure.

The promise is an age, that of the oldest picture of a chunk when it is shown, and a rate: a picture
that is never shown is not on time either. From what a chunk took at one level follows what it would
take at another: the steps are a known part of it, a chunk is collected in the time between two,
and others' work in between stays as it is.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from slipstream_protocol.clock import NS_PER_S
from slipstream_protocol.levels import Level
from slipstream_protocol.owed_rate import owed_period_ns

from slipstream_server.frames.chunker import FILL_WAIT_NS

_SATURATED = 1.1  # of the time in which the camera fills a chunk: above, the device is the limit
_OTHERS_MAX = 0.95


@dataclass(frozen=True, slots=True, kw_only=True)
class ViewerPromise:
    """What a viewer may rely on.

    Args:
        age_ns: of a picture, from its capture until it is shown.
        fps: the model's rate; `slipstream_protocol/owed_rate.py` says what else is counted.
        rate_share: of the pictures owed that are shown.
        chunk_frames: pictures of a chunk.
        work_by_scale: what a chunk costs by the scale of its pictures, see `frames/size_choice.py`;
            one that is not named costs as much as at the largest.
        lowest: level that the stream was admitted to come down to; None where that does not count.
    """

    age_ns: int
    fps: float
    rate_share: float = 0.9
    chunk_frames: int
    work_by_scale: Mapping[int, float] = field(default_factory=dict)
    lowest: Level | None = None

    def work_share(self, level: Level) -> float:
        """What a step, or the codec, costs there, as a share of that at the largest scale."""
        return self.work_by_scale.get(level.size_px, 1.0)

    def longest_period_ns(self, camera_fps: float, level: Level, *, alone_ns: float = 0.0) -> float:
        """From one chunk to the next, at the most.

        Args:
            alone_ns: see `owed_period_ns`.
        """
        owed_ns = owed_period_ns(
            filling_ns=self._sending_ns(camera_fps, level),
            usual_ns=self.chunk_frames * NS_PER_S / self.fps,
            alone_ns=alone_ns,
        )
        return owed_ns / self.rate_share

    def filling_ns(self, camera_fps: float, level: Level) -> float:
        """In which the camera fills a chunk, or it is filled by repeating pictures."""
        return min(self._sending_ns(camera_fps, level), FILL_WAIT_NS)

    def _sending_ns(self, camera_fps: float, level: Level) -> float:
        """In which as many pictures come as a chunk has, at the level's rate."""
        return self.chunk_frames * NS_PER_S / min(camera_fps, level.fps or camera_fps)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What the newest chunks of a stream say.

    Args:
        level: that they were generated at; not held.
        age_ns: predicted, of the newest chunk's oldest picture when it is shown.
        period_ns: from one chunk to the next.
        work_ns: of the device for a chunk.
        denoise_ns: the part of it that the steps took.
        camera_fps: that the camera sends.
    """

    level: Level
    age_ns: float
    period_ns: float
    work_ns: float
    denoise_ns: float
    camera_fps: float

    @property
    def load(self) -> float:
        """Share of the device that the stream takes."""
        return self.work_ns / self.period_ns


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlook:
    """How near a promise is to being broken; above 1 it is.

    Args:
        age: as a share of the age promised.
        rate: the rate promised as a share of that which comes.
        need: share of the device that all streams need for what they promise.
    """

    age: float
    rate: float
    need: float

    @property
    def strain(self) -> float:
        """The worse of the two."""
        return max(self.age, self.rate)


@dataclass(frozen=True, slots=True, kw_only=True)
class Others:
    """What a stream needs to know of the others on its device.

    Args:
        load: share of the device that they take.
        need: share that they need for what they promise; beyond it they take what is left.
        are_in_trouble: whether the promise of one of them is near to being broken: it is going down
            too, and takes less for a chunk then.
        are_probing: whether one of them tries a higher level.
        are_settling: whether one of them has just gone down, which is not to be seen yet.
        heaviest: share of the device that the heaviest of those in trouble takes that can go down.
    """

    load: float = 0.0
    need: float = 0.0
    are_in_trouble: bool = False
    are_probing: bool = False
    are_settling: bool = False
    heaviest: float = 0.0


def outlook_now(reading: Reading, promise: ViewerPromise, others: Others) -> Outlook:
    """As it is."""
    return Outlook(
        age=reading.age_ns / promise.age_ns,
        rate=reading.period_ns / longest_ns_at(reading, reading.level, promise),
        need=others.need + own_need(reading, reading.level, promise),
    )


def outlook_at(reading: Reading, level: Level, promise: ViewerPromise, others: Others) -> Outlook:
    """As it would be at `level`, which is not held, if nothing else changed."""
    work_ns = work_at_ns(reading, level, promise)
    filling_ns = promise.filling_ns(reading.camera_fps, level)
    if reading.period_ns > _SATURATED * promise.filling_ns(reading.camera_fps, reading.level):
        beside_ns = max(0.0, reading.period_ns - reading.work_ns)
        if others.are_in_trouble:
            beside_ns *= min(1.0, work_ns / max(reading.work_ns, 1.0))
    else:
        share = min(others.load, _OTHERS_MAX)
        beside_ns = work_ns * share / (1 - share)
    period_ns = max(filling_ns, work_ns + beside_ns)
    collecting = 1 - 1 / promise.chunk_frames  # of a period, from a chunk's first picture to last
    age_ns = reading.age_ns + collecting * (period_ns - reading.period_ns)
    age_ns = max(work_ns, age_ns + work_ns - reading.work_ns)
    return Outlook(
        age=age_ns / promise.age_ns,
        rate=period_ns / longest_ns_at(reading, level, promise),
        need=others.need + own_need(reading, level, promise),
    )


def own_need(reading: Reading, level: Level, promise: ViewerPromise) -> float:
    """Share of the device that the stream would need at `level` for what it promises."""
    return work_at_ns(reading, level, promise) / longest_ns_at(reading, level, promise)


def longest_ns_at(reading: Reading, level: Level, promise: ViewerPromise) -> float:
    """From one chunk to the next at `level`, at the most, as the device is now."""
    alone_ns = 0.0
    if promise.lowest is not None:
        alone_ns = min(work_at_ns(reading, one, promise) for one in (level, promise.lowest))
    return promise.longest_period_ns(reading.camera_fps, level, alone_ns=alone_ns)


def work_at_ns(reading: Reading, level: Level, promise: ViewerPromise) -> float:
    """Of the device for a chunk at `level`."""
    fixed_ns = reading.work_ns - reading.denoise_ns
    same_size_ns = fixed_ns + reading.denoise_ns * level.steps / reading.level.steps
    return same_size_ns * promise.work_share(level) / promise.work_share(reading.level)

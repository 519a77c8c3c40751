"""What a kind of file tells of its times, and where its header says that it ends."""

import re

import av
from av.container import InputContainer

_TAG = re.compile(r"(\d+):(\d\d):(\d\d(?:\.\d+)?)")


_OWN_CLOCK: int = av.format.Flags.ts_discont.value  # type: ignore[assignment]  # its stub is wrong
_NO_TIMES: int = av.format.Flags.no_timestamps.value  # type: ignore[assignment]


def has_no_times(container: InputContainer) -> bool:
    """Whether it is of a kind that stores none, a bare stream of H.264 say."""
    return bool(container.format.flags & _NO_TIMES)


def has_own_clock(container: InputContainer) -> bool:
    """Whether it is of a kind whose times begin anywhere and may jump, like a broadcast."""
    return bool(container.format.flags & _OWN_CLOCK)


def header_end_s(container: InputContainer, video: av.VideoStream) -> tuple[float | None, float]:
    """When the pictures end, and when the last of all tracks does, a subtitle say.

    Returns:
        The first is None where the header does not tell it of each track; both are 0 where it tells
        nothing, as of a broadcast, whose length FFmpeg estimates from its last packets.
    """
    if has_own_clock(container):
        return 0.0, 0.0
    begin_s = (container.start_time or 0) / av.time_base
    whole_s = begin_s + (container.duration or 0) / av.time_base
    if video.duration is not None and video.time_base is not None:
        return float(((video.start_time or 0) + video.duration) * video.time_base), whole_s
    # Matroska has the length of all; its writers note that of each track in a tag
    tag = next((text for name, text in video.metadata.items() if name.startswith("DURATION")), "")
    if found := _TAG.match(tag):
        hours, minutes, seconds = found.groups()
        return int(hours) * 3600 + int(minutes) * 60 + float(seconds), whole_s
    return None, whole_s

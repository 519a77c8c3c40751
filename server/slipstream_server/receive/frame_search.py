"""Which frames the packets in a jitter buffer make up, whole or not. Pure.

The packets lie by their sequence numbers, with gaps where one is missing. A frame ends with its
marker, or where the timestamp changes. It is whole when its first packet, its last and all between
are there.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Packet:
    """One RTP packet without its packaging.

    Args:
        marker: whether it says that it ends its frame.
        starts_frame, is_key: see `rtp.depacketize.PayloadContent`.
        data: its part of the encoded frame; empty for padding.
    """

    sequence: int
    timestamp: int
    payload_type: int
    marker: bool
    starts_frame: bool
    is_key: bool
    data: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class FramePackets:
    """The packets of one frame that are there, without a gap between them.

    Args:
        first: sequence number of the first of them.
        has_start: whether that is the frame's first packet.
        has_end: whether the last of them is the frame's last packet.
        is_key: whether one of them says that the frame is a key frame.
        gap: the missing packet behind them; None where all after them are still to come.
    """

    first: int
    has_start: bool
    has_end: bool
    is_key: bool
    gap: int | None

    @property
    def is_whole(self) -> bool:
        return self.has_start and self.has_end


def frames_in(
    packets: Mapping[int, Packet], sequences: range, *, is_boundary: bool, trusts_markers: bool
) -> Iterator[FramePackets]:
    """The frames of the packets with these sequence numbers, oldest first.

    Args:
        packets: by sequence number; others than `sequences` are not looked at.
        is_boundary: whether a frame surely starts with `sequences.start`.
        trusts_markers: whether a marker ends a frame, or only a change of the timestamp does.
    """
    for run in _runs(packets, sequences):
        gap = run.stop if run.stop < sequences.stop else None
        has_start = packets[run.start].starts_frame or (
            is_boundary and run.start == sequences.start
        )
        first, is_key = run.start, False
        for sequence in run:
            packet = packets[sequence]
            if sequence > run.start and ends_frame(packets[sequence - 1], packet, trusts_markers):
                yield FramePackets(
                    first=first, has_start=has_start, has_end=True, is_key=is_key, gap=gap
                )
                first, has_start, is_key = sequence, True, False
            is_key |= packet.is_key
        yield FramePackets(
            first=first,
            has_start=has_start,
            has_end=packets[run.stop - 1].marker and trusts_markers,
            is_key=is_key,
            gap=gap,
        )


def _runs(packets: Mapping[int, Packet], sequences: range) -> Iterator[range]:
    """The parts of `sequences` without a gap."""
    start: int | None = None
    for sequence in sequences:
        if sequence in packets:
            start = sequence if start is None else start
        elif start is not None:
            yield range(start, sequence)
            start = None
    if start is not None:
        yield range(start, sequences.stop)


def ends_frame(packet: Packet, following: Packet, trusts_markers: bool) -> bool:
    """Whether `packet` is the last of its frame, `following` the next one."""
    return packet.timestamp != following.timestamp or (packet.marker and trusts_markers)


def first_whole_key_frame(frames: Iterable[FramePackets]) -> int | None:
    """Where the oldest key frame starts of which no packet is missing; None if there is none."""
    return next((frame.first for frame in frames if frame.is_whole and frame.is_key), None)


def newest_whole_frame(frames: Iterable[FramePackets]) -> int | None:
    """Where the newest frame of any kind starts of which no packet is missing."""
    starts = [frame.first for frame in frames if frame.is_whole]
    return starts[-1] if starts else None


def is_key_frame_coming(frames: Iterable[FramePackets], is_expired: Callable[[int], bool]) -> bool:
    """Whether the rest of a key frame whose start is there can still come.

    Args:
        is_expired: whether a missing packet is waited for no longer.
    """
    return any(
        frame.has_start
        and frame.is_key
        and not frame.has_end
        and (frame.gap is None or not is_expired(frame.gap))
        for frame in frames
    )

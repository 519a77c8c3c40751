"""Which part of a recording a packet is in, and when."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st
from slipstream_protocol.clock import NS_PER_MS
from slipstream_server.recordings.timeline import (
    RecordingTimeline,
    SoundPacket,
    VideoPacket,
    parameter_sets,
)

SMALL, LARGE = b"\0\0\0\1\x67small\0\0\0\1\x68p", b"\0\0\0\1\x67large\0\0\0\1\x68p"
SEI, SLICE = b"\0\0\1\x06words", b"\0\0\1\x65slice\0\0\1\x67none"


def picture(at_ms: int, *, sets: bytes = b"") -> VideoPacket:
    return VideoPacket(data=sets + SEI + SLICE, is_key=bool(sets), captured_ns=at_ms * NS_PER_MS)


def sound(at_ms: int, *, pts_ms: int | None = None) -> SoundPacket:
    """One whose RTP time is that of its capture, unless it is said."""
    pts = 48 * (at_ms if pts_ms is None else pts_ms)
    return SoundPacket(data=b"opus", pts=pts, captured_ns=at_ms * NS_PER_MS)


def test_sets_are_those_before_the_slices() -> None:
    """whatever else stands between them."""
    assert parameter_sets(SMALL + SEI + SLICE) == (b"\x67small", b"\x68p")
    assert parameter_sets(SEI + SLICE) == ()


def test_a_recording_begins_with_a_key_frame() -> None:
    """sound and pictures are in it from there on, each on its own clock."""
    timeline = RecordingTimeline()
    assert timeline.place(picture(0)) is None and timeline.place(sound(0)) is None
    assert timeline.place(picture(100, sets=SMALL)) == 0
    assert timeline.place(sound(90)) is None
    assert timeline.place(sound(110)) == 480
    assert timeline.place(picture(133)) == 2970
    assert timeline.part == 1


def test_another_size_is_another_part() -> None:
    """with times of its own; a key frame of the same size is not."""
    timeline = RecordingTimeline()
    timeline.place(picture(0, sets=SMALL))
    assert timeline.place(picture(1000, sets=SMALL)) == 90_000
    assert timeline.part == 1
    assert timeline.place(picture(2000, sets=LARGE)) == 0
    assert timeline.place(sound(1990)) is None
    assert timeline.part == 2


@given(st.lists(st.integers(-30, 30), min_size=2, max_size=60))
def test_sound_makes_one_whole_where_it_was_captured(errors_ms: list[int]) -> None:
    """each packet begins where the one before ends, unless that is 20 ms from its capture; none
    goes back behind the one before."""
    timeline = RecordingTimeline()
    timeline.place(picture(0, sets=SMALL))
    before: int | None = None
    for number, error_ms in enumerate(errors_ms):
        at_ms = 1000 + 20 * number + error_ms
        ticks = timeline.place(sound(at_ms, pts_ms=20 * number))
        assert ticks is not None
        is_whole = before is not None and ticks == before + 960
        anew = 48 * at_ms if before is None else max(48 * at_ms, before + 1)
        assert is_whole or ticks == anew
        assert abs(ticks - 48 * at_ms) <= 48 * 20 or ticks == anew
        if before is not None and abs(before + 960 - 48 * at_ms) <= 48 * 20:
            assert is_whole
        before = ticks


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 5000)), min_size=1, max_size=60))
def test_times_rise(packets: list[tuple[bool, int]]) -> None:
    """whatever comes: of pictures, and of sound."""
    timeline = RecordingTimeline()
    timeline.place(picture(0, sets=SMALL))
    placed: dict[bool, list[int]] = {True: [0], False: []}
    for is_picture, at_ms in packets:
        ticks = timeline.place(picture(at_ms) if is_picture else sound(at_ms))
        if ticks is not None:
            placed[is_picture].append(ticks)
    for times in placed.values():
        assert all(before < after for before, after in pairwise(times))

"""Which frames the packets in a buffer make up."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st
from slipstream_server.receive.frame_search import (
    FramePackets,
    Packet,
    first_whole_key_frame,
    frames_in,
    is_key_frame_coming,
    newest_whole_frame,
)

from tests.server.packets import packets_of


def buffered(packets: list[Packet], *lost: int) -> dict[int, Packet]:
    return {index: packet for index, packet in enumerate(packets) if index not in lost}


def frames(packets: dict[int, Packet], *, is_boundary: bool = True) -> list[FramePackets]:
    sequences = range(max(packets) + 1)
    return list(frames_in(packets, sequences, is_boundary=is_boundary, trusts_markers=True))


def test_a_gap_cuts_a_frame_in_two() -> None:
    """the part before it has the start, the part behind it the end; neither is whole."""
    first, second, third, fourth = frames(buffered(packets_of(3), 4))
    assert first.is_whole and fourth.is_whole
    assert (second.first, second.has_start, second.has_end, second.gap) == (3, True, False, 4)
    assert (third.first, third.has_start, third.has_end) == (5, False, True)


def test_a_key_frame_needs_a_start_and_time() -> None:
    """it is coming while its gap is not given up, or its end has yet to be sent."""
    packets = packets_of(3, keys=frozenset({1}))
    cut = frames(buffered(packets, 4))
    assert first_whole_key_frame(cut) is None
    assert is_key_frame_coming(cut, lambda gap: False)
    assert not is_key_frame_coming(cut, lambda gap: True)
    assert is_key_frame_coming(frames(buffered(packets[:5])), lambda gap: True)
    assert first_whole_key_frame(frames(buffered(packets))) == 3
    assert newest_whole_frame(frames(buffered(packets))) == 6


def test_a_start_is_known_at_a_boundary_or_by_its_payload() -> None:
    """packets from the middle of a frame start none."""
    packets = packets_of(2, keys=frozenset())
    assert frames(buffered(packets))[0].has_start
    assert not frames(buffered(packets), is_boundary=False)[0].has_start
    packets[0] = replace(packets[0], starts_frame=True)
    assert frames(buffered(packets), is_boundary=False)[0].has_start


@given(
    sizes=st.integers(1, 5),
    markers=st.booleans(),
    keys=st.frozensets(st.integers(0, 19)),
    lost=st.frozensets(st.integers(0, 99)),
    is_boundary=st.booleans(),
)
def test_whole_are_those_of_which_nothing_is_lost(
    sizes: int, markers: bool, keys: frozenset[int], lost: frozenset[int], is_boundary: bool
) -> None:
    """a frame is whole where all its packets are there and its neighbours show its ends; every
    packet that is there belongs to one frame."""
    packets = packets_of(20, packets=sizes, keys=keys, markers=markers)
    held = {index: one for index, one in enumerate(packets) if index not in lost}
    found = list(
        frames_in(held, range(len(packets)), is_boundary=is_boundary, trusts_markers=markers)
    )
    expected = []
    for number in range(20):
        sequences = range(number * sizes, (number + 1) * sizes)
        starts = number in keys or sequences.start - 1 in held or (number == 0 and is_boundary)
        ends = markers or sequences.stop in held
        if all(sequence in held for sequence in sequences) and starts and ends:
            expected.append((sequences.start, number in keys))
    assert [(one.first, one.is_key) for one in found if one.is_whole] == expected
    assert first_whole_key_frame(found) == next((at for at, is_key in expected if is_key), None)
    assert newest_whole_frame(found) == (expected[-1][0] if expected else None)

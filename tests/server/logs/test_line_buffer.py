"""The lines that wait for the log's reader: bounded, in order, and counted where dropped."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from slipstream_server.logs.line_buffer import LineBuffer

LINES = st.lists(st.binary(min_size=1, max_size=40), max_size=60)


@given(LINES, st.integers(1, 200))
def test_lines_come_out_in_order_or_are_counted(lines: list[bytes], capacity_bytes: int) -> None:
    """whatever does not fit is dropped and counted, all else comes out as it went in."""
    buffer = LineBuffer(capacity_bytes)
    kept = [line for line in lines if buffer.put(line)]
    assert sum(map(len, kept)) <= capacity_bytes
    assert buffer.dropped == len(lines) - len(kept)
    assert buffer.take(1 << 20) == (b"".join(kept), len(kept))
    assert buffer.take_report() == buffer.dropped


@given(LINES, st.integers(1, 100))
def test_in_pieces_equals_all_at_once(lines: list[bytes], most_bytes: int) -> None:
    """a piece is of whole lines, at least one, and no longer than asked where that is possible."""
    buffer = LineBuffer(1 << 20)
    for line in lines:
        assert buffer.put(line)
    whole, taken = b"", 0
    while len(buffer):
        piece, number = buffer.take(most_bytes)
        assert number == 1 or len(piece) <= most_bytes
        whole, taken = whole + piece, taken + number
    assert (whole, taken) == (b"".join(lines), len(lines))


def test_drops_are_reported_once_and_behind_the_lines_before() -> None:
    """the report stands where the lines are missing."""
    buffer = LineBuffer(4)
    buffer.put(b"one\n")
    buffer.put(b"two\n")
    assert buffer.take_report() == 0
    buffer.take(4)
    buffer.drop(2)
    assert [buffer.take_report(), buffer.take_report()] == [3, 0]
    assert buffer.dropped == 3


def test_room_for_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="capacity is 0 bytes, it must be at least 1"):
        LineBuffer(0)

"""ice/stream_frames.py: packets on a byte stream."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from slipstream_server.ice.stream_frames import PACKET_MAX_BYTES, BadFrame, FrameReader, framed


@given(st.lists(st.binary(max_size=300)), st.lists(st.integers(1, 40)))
def test_packets_come_out_as_they_went_in(packets: list[bytes], cuts: list[int]) -> None:
    """in pieces as all at once."""
    stream = b"".join(map(framed, packets))
    reader, received = FrameReader(), []
    for cut in cuts:
        received += reader.feed(stream[:cut])
        stream = stream[cut:]
    assert received + reader.feed(stream) == packets


def test_a_packet_that_is_none_is_refused_at_its_length() -> None:
    """nothing of it is kept: `HTTP/1.1` is a packet of 18516 bytes."""
    with pytest.raises(BadFrame, match=f"18516 bytes, at most {PACKET_MAX_BYTES}"):
        FrameReader().feed(b"HTTP/1.1")

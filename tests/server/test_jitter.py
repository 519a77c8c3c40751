"""Frames leave the receive buffer with their last packet."""

import logging
import random

import pytest
from aiortc import RTCPeerConnection
from aiortc.jitterbuffer import JitterBuffer
from aiortc.rtp import RtpPacket
from hypothesis import given
from hypothesis import strategies as st
from slipstream_server.jitter import _BUFFER, MarkerJitterBuffer, use_markers


def packets_of(sizes: list[int], *, first: int = 65_530, marked: bool = True) -> list[RtpPacket]:
    """Frames of so many packets each, across the wrap of the sequence number."""
    packets: list[RtpPacket] = []
    for frame, size in enumerate(sizes):
        for index in range(size):
            packet = RtpPacket(
                marker=int(marked and index == size - 1),
                sequence_number=(first + len(packets)) % (1 << 16),
                timestamp=3000 * frame,
            )
            packet._data = bytes([frame, index])  # type: ignore[attr-defined]
            packets.append(packet)
    return packets


def through(buffer: JitterBuffer, packets: list[RtpPacket]) -> list[tuple[bytes, int]]:
    """Each frame that comes out, with how many packets had gone in by then."""
    out = []
    for count, packet in enumerate(packets, start=1):
        _, frame = buffer.add(packet)
        if frame is not None:
            out.append((frame.data, count))
    return out


sizes = st.lists(st.integers(1, 6), min_size=1, max_size=12)


@given(sizes)
def test_a_frame_comes_with_its_last_packet(sizes: list[int]) -> None:
    """and not one packet later."""
    got = through(MarkerJitterBuffer(64), packets_of(sizes))
    assert [count for _, count in got] == [sum(sizes[: n + 1]) for n in range(len(sizes))]


@given(sizes)
def test_without_markers_it_is_aiortcs_own(sizes: list[int]) -> None:
    """a sender that marks nothing is served as before."""
    packets = packets_of(sizes, marked=False)
    ours = through(MarkerJitterBuffer(64), packets)
    assert ours == through(JitterBuffer(64, is_video=True), packets)


@given(sizes.filter(lambda sizes: len(sizes) > 1), st.integers(0, 2**32))
def test_disorder_never_mixes_or_loses_packets(sizes: list[int], seed: int) -> None:
    """frames come whole and in order, however the packets behind the first one are shuffled."""
    packets = packets_of(sizes)
    rest = packets[1:]
    random.Random(seed).shuffle(rest)
    # one frame a packet comes out; one-packet frames push out those that have piled up
    tail = packets_of([*sizes, *[1] * len(sizes)])[len(packets) :]
    got = [data for data, _ in through(MarkerJitterBuffer(128), [packets[0], *rest, *tail])]
    whole = [
        b"".join(bytes([frame, index]) for index in range(size)) for frame, size in enumerate(sizes)
    ]
    assert got[: len(whole)] == whole


def test_padding_is_no_picture() -> None:
    """packets without payload that follow a marker, as Chromium probes with, yield nothing."""
    packets = packets_of([2, 1, 1])
    packets[2].timestamp = packets[1].timestamp
    packets[2].marker = 0
    packets[2]._data = b""  # type: ignore[attr-defined]
    got = through(MarkerJitterBuffer(64), packets)
    assert [data for data, _ in got] == [bytes([0, 0, 0, 1]), bytes([2, 0])]


async def test_aiortc_still_keeps_the_buffer_where_it_is_replaced() -> None:
    """fails when aiortc moves it; `jitter.use_markers` must follow."""
    pc = RTCPeerConnection()
    receiver = pc.addTransceiver("video").receiver
    assert type(getattr(receiver, _BUFFER)) is JitterBuffer
    use_markers(receiver)
    assert type(getattr(receiver, _BUFFER)) is MarkerJitterBuffer
    await pc.close()


def test_a_changed_aiortc_is_left_alone(caplog: pytest.LogCaptureFixture) -> None:
    """late frames are better than none."""
    with caplog.at_level(logging.WARNING):
        use_markers(object())  # type: ignore[arg-type]
    assert "aiortc keeps its receive buffer elsewhere" in caplog.text

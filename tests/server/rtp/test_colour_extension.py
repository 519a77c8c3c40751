"""The header extension that says what a picture's colours are."""

import pytest
from aiortc.rtcrtpparameters import RTCRtpHeaderExtensionParameters, RTCRtpParameters
from aiortc.rtp import RtpPacket
from hypothesis import given
from hypothesis import strategies as st
from slipstream_protocol.colours import DeclaredColours
from slipstream_server.rtp.colour_extension import (
    COLOUR_SPACE,
    ColourExtensionMap,
    colours_of,
    read_colours,
)

from tests.server.packets import FixedExtensions

MID = RTCRtpHeaderExtensionParameters(id=1, uri="urn:ietf:params:rtp-hdrext:sdes:mid")
COLOURS = RTCRtpHeaderExtensionParameters(id=8, uri=COLOUR_SPACE)
BT_709_LIMITED = bytes([1, 1, 1, 0x10])


def received(
    extensions: list[tuple[int, bytes]], *agreed: RTCRtpHeaderExtensionParameters
) -> RtpPacket:
    """A packet with these extensions, as it is read."""
    known = ColourExtensionMap()
    known.configure(RTCRtpParameters(headerExtensions=list(agreed)))
    return RtpPacket.parse(RtpPacket(payload=b"x").serialize(FixedExtensions(extensions)), known)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (BT_709_LIMITED, DeclaredColours(matrix=1, transfer=1, is_full_range=False)),
        (bytes([1, 13, 6, 0x2A]), DeclaredColours(matrix=6, transfer=13, is_full_range=True)),
        (
            bytes([9, 16, 9, 0x10]) + bytes(24),
            DeclaredColours(matrix=9, transfer=16, is_full_range=False),
        ),
        (b"", None),
        (bytes(3), None),
        (bytes(27), None),
    ],
)
def test_the_content_is_read(value: bytes, expected: DeclaredColours | None) -> None:
    """with the numbers of H.273; what has another size is none."""
    assert read_colours(value) == expected


def test_it_is_read_beside_the_others_where_it_was_agreed_on() -> None:
    """and nothing is made of the same number where it was not."""
    extensions = [(1, b"0"), (8, BT_709_LIMITED)]
    packet = received(extensions, MID, COLOURS)
    assert packet.extensions.mid == "0"
    assert colours_of(packet) == read_colours(BT_709_LIMITED)
    assert colours_of(received(extensions, MID)) is None
    assert colours_of(received(extensions[:1], MID, COLOURS)) is None


@given(st.binary(min_size=1, max_size=16))
def test_any_bytes_are_colours_or_none(value: bytes) -> None:
    """a malformed extension disturbs neither the packet nor the picture."""
    packet = received([(1, b"0"), (8, value)], MID, COLOURS)
    assert (colours_of(packet) is not None) is (len(value) == 4)

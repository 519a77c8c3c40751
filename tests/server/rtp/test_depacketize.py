"""RTP payloads: where pictures begin, and which stand alone; checked on what real encoders make."""

import pytest
from aiortc.codecs import get_encoder
from aiortc.rtcrtpparameters import RTCRtpCodecParameters
from hypothesis import given
from hypothesis import strategies as st
from slipstream_server.rtp.depacketize import PayloadContent, payload_content
from slipstream_server.send.encoder_context import TIME_BASE

from tests.server.calls import numbered


@pytest.mark.parametrize("codec", ["H264", "VP8"])
def test_only_a_key_frame_says_so(codec: str) -> None:
    """the first payload of a key frame begins it, and no payload of another frame is key."""
    encoder = get_encoder(RTCRtpCodecParameters(mimeType=f"video/{codec}", clockRate=90_000))
    for number in range(4):
        frame = numbered(number)
        frame.pts = number * 3750
        frame.time_base = TIME_BASE
        payloads, _ = encoder.encode(frame, force_keyframe=number == 2)
        found = [payload_content(codec, payload) for payload in payloads]
        is_key = number in (0, 2)
        assert any(one.is_key for one in found) == is_key
        if codec == "VP8" or is_key:
            assert found[0].starts_frame
        assert not any(one.starts_frame for one in found[1:])


def test_units_of_h264() -> None:
    """parameter sets and delimiters begin a picture; slices alone may be its second."""
    sps, pps, idr, slice_ = b"\x67\x42", b"\x68\xce", b"\x65\x88", b"\x41\x9a"

    def bundle(*units: bytes) -> bytes:
        return b"\x78" + b"".join(len(unit).to_bytes(2, "big") + unit for unit in units)

    assert payload_content("H264", sps) == PayloadContent(starts_frame=True, is_key=True)
    assert payload_content("H264", b"\x09\xf0") == PayloadContent(starts_frame=True, is_key=False)
    assert payload_content("H264", bundle(sps, pps)) == PayloadContent(
        starts_frame=True, is_key=True
    )
    assert payload_content("H264", bundle(pps, idr)) == PayloadContent(
        starts_frame=False, is_key=True
    )
    assert payload_content("H264", slice_) == PayloadContent(starts_frame=False, is_key=False)
    assert payload_content("H264", b"\x7c\x85\x88") == PayloadContent(
        starts_frame=False, is_key=True
    )  # first of FU-A
    assert payload_content("H264", b"\x7c\x05\x88") == PayloadContent(
        starts_frame=False, is_key=False
    )  # not the first


@given(codec=st.sampled_from(("H264", "VP8", "other")), payload=st.binary(max_size=40))
def test_any_bytes_are_looked_at(codec: str, payload: bytes) -> None:
    """garbage is no reason to fail: the sender may be anybody."""
    assert payload_content(codec, payload) is not None

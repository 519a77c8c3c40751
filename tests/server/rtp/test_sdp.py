"""Offers are understood, and answers carry the sender's hint."""

import pytest
from aiortc import RTCConfiguration, RTCPeerConnection
from slipstream_server.errors import RequestError
from slipstream_server.rtp.sdp import MAX_CANDIDATES, read_candidate, read_offer, with_start_bitrate


@pytest.mark.parametrize(
    ("direction", "sends"), [("sendrecv", True), ("sendonly", True), ("recvonly", False)]
)
async def test_who_sends_and_who_watches(direction: str, sends: bool) -> None:
    """the direction of the first video says so."""
    pc = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    pc.addTransceiver("video", direction=direction)
    offer = read_offer((await pc.createOffer()).sdp, "offer")
    await pc.close()
    assert offer.sends_video is sends


async def test_addresses_are_taken_out_of_an_offer() -> None:
    """they come later, so that a name that cannot be looked up costs the answer no time."""
    pc = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    pc.addTransceiver("video")
    sdp = (await pc.createOffer()).sdp
    await pc.close()
    lines = (
        "a=candidate:1 1 udp 2130706431 f3b7c1d2.local 5000 typ host\r\n"
        "a=candidate:2 1 udp 1694498815 192.0.2.7 5001 typ srflx raddr 0.0.0.0 rport 0\r\n"
        "a=end-of-candidates\r\n"
    )
    offer = read_offer(sdp + lines, "offer")
    assert "candidate" not in offer.sdp
    assert [candidate.ip for candidate in offer.candidates] == ["f3b7c1d2.local", "192.0.2.7"]
    assert {candidate.sdpMLineIndex for candidate in offer.candidates} == {0}
    assert read_offer(offer.sdp, "offer").candidates == ()


async def test_no_more_addresses_are_kept_than_a_caller_needs() -> None:
    """each is looked up and tried, which one offer must not make expensive."""
    pc = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    pc.addTransceiver("video")
    sdp = (await pc.createOffer()).sdp
    await pc.close()
    lines = "".join(
        f"a=candidate:{n} 1 udp 1 192.0.2.1 {5000 + n} typ host\r\n" for n in range(100)
    )
    candidates = read_offer(sdp + lines, "offer").candidates
    assert [candidate.port for candidate in candidates] == [5000 + n for n in range(MAX_CANDIDATES)]


async def test_too_many_media_are_refused() -> None:
    """each may cost sockets."""
    pc = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    for _ in range(17):
        pc.addTransceiver("video")
    sdp = (await pc.createOffer()).sdp
    await pc.close()
    with pytest.raises(RequestError, match="the offer has 17 media, at most 16"):
        read_offer(sdp, "offer")


def test_every_codec_gets_the_start_bitrate() -> None:
    """in the line of its parameters, new where it had none; retransmission gets none."""
    answer = (
        "a=rtpmap:97 VP8/90000\r\na=rtpmap:98 rtx/90000\r\na=fmtp:98 apt=97\r\n"
        "a=rtpmap:99 H264/90000\r\na=fmtp:99 packetization-mode=1\r\n"
    )
    assert with_start_bitrate(answer, 900) == (
        "a=rtpmap:97 VP8/90000\r\na=fmtp:97 x-google-start-bitrate=900\r\n"
        "a=rtpmap:98 rtx/90000\r\na=fmtp:98 apt=97\r\n"
        "a=rtpmap:99 H264/90000\r\n"
        "a=fmtp:99 packetization-mode=1;x-google-start-bitrate=900\r\n"
    )


def test_candidates_as_browsers_write_them() -> None:
    """with and without the prefix; an empty one ends them."""
    text = "candidate:1 1 udp 2130706431 192.0.2.1 5000 typ host"
    candidate = read_candidate(text, "0", None)
    assert candidate is not None
    assert (candidate.ip, candidate.port, candidate.sdpMid) == ("192.0.2.1", 5000, "0")
    assert read_candidate("a=" + text, None, 0) is not None
    assert read_candidate("", None, None) is None

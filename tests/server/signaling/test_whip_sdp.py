"""Offers of OBS, FFmpeg and others put so that aiortc answers them, and fragments read."""

import pytest
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from hypothesis import given
from hypothesis import strategies as st
from slipstream_server.errors import NotAcceptable, RequestError, Unprocessable
from slipstream_server.rtp.sdp import ice_ufrag, read_offer
from slipstream_server.signaling.whip_sdp import adapt, check_direction, read_fragment

from tests.server.broken_sdp import broken_offers

# as libdatachannel makes it for OBS: sound first, no candidates
OBS = """v=0
o=rtc 1 0 IN IP4 127.0.0.1
s=-
t=0 0
a=group:BUNDLE 0 1
a=group:LS 0 1
a=msid-semantic:WMS *
a=ice-options:ice2,trickle
a=fingerprint:sha-256 {fingerprint}
m=audio 9 UDP/TLS/RTP/SAVPF 111
c=IN IP4 0.0.0.0
a=mid:0
a=sendonly
a=ssrc:1 cname:obs
a=rtcp-mux
a=rtpmap:111 opus/48000/2
a=fmtp:111 minptime=10;maxaveragebitrate=96000;stereo=1;sprop-stereo=1;useinbandfec=1
a=setup:actpass
a=ice-ufrag:abcd
a=ice-pwd:0123456789abcdef012345
m=video 9 UDP/TLS/RTP/SAVPF 96
c=IN IP4 0.0.0.0
a=mid:1
a=sendonly
a=ssrc:2 cname:obs
a=rtcp-mux
a=rtpmap:96 H264/90000
a=rtcp-fb:96 nack
a=rtcp-fb:96 nack pli
a=fmtp:96 profile-level-id=42e01f;packetization-mode=1;level-asymmetry-allowed=1
a=setup:actpass
a=ice-ufrag:abcd
a=ice-pwd:0123456789abcdef012345
""".format(fingerprint=":".join(["00"] * 32)).replace("\n", "\r\n")
BASELINE = "profile-level-id=42e01f;packetization-mode=1;level-asymmetry-allowed=1"


async def answer_of(sdp: str) -> str:
    """What aiortc answers."""
    pc = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    try:
        pc.addTransceiver("video", direction="recvonly")
        await pc.setRemoteDescription(RTCSessionDescription(sdp=sdp, type="offer"))
        return (await pc.createAnswer()).sdp
    finally:
        await pc.close()


def test_what_aiortc_knows_is_left_alone() -> None:
    assert adapt(read_offer(OBS, "offer")).offer.sdp == OBS
    assert adapt(read_offer(OBS.replace("H264", "VP8"), "offer")).replaced == {}


@pytest.mark.parametrize(
    "format",
    [
        "profile-level-id=640c1f;packetization-mode=1;level-asymmetry-allowed=1",
        "profile-level-id=4d001f;packetization-mode=1",
        "packetization-mode=0;profile-level-id=42e01f",
        "profile-level-id=42e01f",
        "profile-level-id=nonsense;packetization-mode=1",
    ],
)
async def test_other_kinds_of_h264_are_answered_as_offered(format: str) -> None:
    """high and main profile, single-unit packets: the answer repeats the offer's parameters."""
    offer = OBS.replace(BASELINE, format)
    adapted = adapt(read_offer(offer, "offer"))
    answer = adapted.restored(await answer_of(adapted.offer.sdp))
    wanted = dict(entry.split("=") for entry in format.split(";"))
    line = next(line for line in answer.splitlines() if line.startswith("a=fmtp:96 "))
    got = dict(entry.split("=") for entry in line.removeprefix("a=fmtp:96 ").split(";"))
    for name in ("profile-level-id", "packetization-mode"):
        assert got.get(name) == wanted.get(name)


async def test_h264_without_parameters_is_answered() -> None:
    """it is of packetization mode 0 then."""
    offer = OBS.replace(f"a=fmtp:96 {BASELINE}\r\n", "")
    adapted = adapt(read_offer(offer, "offer"))
    answer = adapted.restored(await answer_of(adapted.offer.sdp))
    assert "a=rtpmap:96 H264/90000" in answer
    assert "packetization-mode" not in answer


def test_without_a_codec_in_common_it_says_what_to_choose() -> None:
    for name in ("AV1", "H265"):
        with pytest.raises(NotAcceptable, match=f"video codecs are {name}, this server takes H264"):
            adapt(read_offer(OBS.replace("H264", name), "offer"))


def test_the_direction_is_the_endpoints() -> None:
    """a publisher sends, a viewer does not only send; the error names the right path."""
    sending = read_offer(OBS, "offer")
    watching = read_offer(OBS.replace("a=sendonly", "a=recvonly"), "offer")
    both = read_offer(OBS.replace("a=sendonly", "a=sendrecv"), "offer")
    for offer, publishes in ((sending, True), (both, True), (watching, False), (both, False)):
        check_direction(offer, publishes=publishes)
    with pytest.raises(Unprocessable, match="POST to /whep"):
        check_direction(watching, publishes=True)
    with pytest.raises(Unprocessable, match="POST to /whip"):
        check_direction(sending, publishes=False)


def test_the_ice_user_name_is_found() -> None:
    assert ice_ufrag(OBS) == "abcd"


def test_a_fragment_is_read() -> None:
    """candidates with the name of their media, or its place where it has none; and their end."""
    fragment = read_fragment(
        "a=ice-ufrag:abcd\r\na=ice-pwd:secret\r\n"
        "m=audio 9 RTP/AVP 0\r\na=mid:0\r\n"
        "a=candidate:1 1 udp 2130706431 192.0.2.1 5000 typ host\r\n"
        "m=video 9 RTP/AVP 0\r\n"
        "a=candidate:2 1 udp 2130706431 192.0.2.1 5001 typ host\r\n"
        "a=end-of-candidates\r\n"
    )
    assert fragment.ufrag == "abcd"
    first, second, end = fragment.candidates
    assert first is not None
    assert (first.sdpMid, first.ip, first.port) == ("0", "192.0.2.1", 5000)
    assert second is not None
    assert (second.sdpMid, second.sdpMLineIndex) == (None, 1)
    assert end is None


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "the body begins with '', it must be an SDP fragment"),
        ("hello", "the body begins with 'hello'"),
        ("a=candidate:nonsense", "candidate is 'a=candidate:nonsense'"),
        ("m=x\r\n" * 600, "the fragment has 600 lines, at most 512"),
        (
            "a=candidate:1 1 udp 1 192.0.2.1 5000 typ host\r\n" * 65,
            "65 candidates in one request, at most 64",
        ),
    ],
)
def test_a_bad_fragment_says_why(text: str, reason: str) -> None:
    with pytest.raises(RequestError) as caught:
        read_fragment(text)
    assert reason in str(caught.value)


@given(st.text(max_size=300))
def test_any_text_is_a_fragment_or_refused(text: str) -> None:
    try:
        read_fragment(text)
    except RequestError as error:
        assert str(error)


def test_broken_offers_are_adapted_or_refused() -> None:
    """of all that `read_offer` takes, each is adapted or refused with a reason."""
    adapted_offers = 0
    for sdp in broken_offers(4000, seed=11):
        try:
            adapted = adapt(read_offer(sdp, "offer"))
            offer = read_offer(adapted.offer.sdp, "offer")
        except RequestError as error:
            assert 0 < len(str(error)) < 1000
            continue
        adapted_offers += 1
        assert adapted.restored(offer.sdp)
    assert adapted_offers > 100

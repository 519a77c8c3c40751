"""aiortc's private names are as we know them; where they are not, the error says so."""

import inspect
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc import codecs as aiortc_codecs
from aiortc.codecs import HEADER_EXTENSIONS, h264, vpx
from aiortc.rtcrtpparameters import RTCRtpHeaderExtensionParameters, RTCRtpParameters
from aiortc.rtp import HeaderExtensions, HeaderExtensionsMap, RtpPacket, pack_remb_fci
from aiortc.sdp import SessionDescription
from hypothesis import given
from hypothesis import strategies as st
from slipstream_server.ice.gathering import bound_gathering
from slipstream_server.media_addressing import MediaAddressing
from slipstream_server.rtp import aiortc_internals
from slipstream_server.rtp.colour_extension import COLOUR_SPACE
from slipstream_server.send import aiortc_sender
from slipstream_server.send.outgoing_packets import OutgoingExtensions
from slipstream_server.send.playout_delay import PlayoutDelay
from slipstream_server.send.send_history import SendHistory

from tests.server.calls import OFFER_PATH, Camera
from tests.server.rtc.test_video_transceiver import video_call
from tests.server.serving import poll, serving

PINNED = "aiortc>=1.16,<1.17"
RECEIVER = (
    "_RTCRtpReceiver__jitter_buffer",
    "_RTCRtpReceiver__nack_generator",
    "_RTCRtpReceiver__remote_bitrate_estimator",
    "_RTCRtpReceiver__decoder_queue",
    "_RTCRtpReceiver__codecs",
    "_RTCRtpReceiver__rtcp_ssrc",
    "_handle_rtp_packet",
    "_handle_rtcp_packet",
    "_send_rtcp_nack",
    "_send_rtcp_pli",
)
TRANSPORT = (
    "_rtp_header_extensions_map",
    "_send_rtp",
    "_set_role",
    "_set_state",
    "_ssl",
    "_validate_peer_identity",
)
SENDER = (
    "_RTCRtpSender__rtp_header_extensions_map",
    "_RTCRtpSender__rtp_task",
    "_RTCRtpSender__rtp_timestamp",
    "_RTCRtpSender__rtp_history",
    "_RTCRtpSender__rtt",
    "_send_keyframe",
    "_send_rtcp",
    "_handle_rtcp_packet",
    "_ssrc",
)


def test_the_version_is_pinned() -> None:
    """a minor version of aiortc may change private names: it comes in only by a change here."""
    project = tomllib.loads(Path("pyproject.toml").read_text())["project"]
    assert PINNED in project["dependencies"]
    assert version("aiortc").startswith("1.16.")


async def test_every_private_name_exists() -> None:
    """each name exists on a fresh connection, and what is called takes what we give."""
    pc = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    transceiver = pc.addTransceiver("video")
    for owner, names in (
        (transceiver, ("_codecs", "_headerExtensions", "_offerDirection")),
        (transceiver.receiver, RECEIVER),
        (transceiver.receiver.transport, TRANSPORT),
        (pc, ("_RTCPeerConnection__connect",)),
        (transceiver.sender, SENDER),
    ):
        for name in names:
            aiortc_internals.get_private(owner, name)
    for method, parameters in (
        (transceiver.receiver._handle_rtp_packet, ["packet", "arrival_time_ms"]),
        (transceiver.receiver._handle_rtcp_packet, ["packet"]),
        (transceiver.receiver._send_rtcp_nack, ["media_ssrc", "lost"]),
        (transceiver.receiver._send_rtcp_pli, ["media_ssrc"]),
        (transceiver.sender._handle_rtcp_packet, ["packet"]),
        (transceiver.sender._send_keyframe, []),
        (transceiver.sender._send_rtcp, ["packets"]),
        (transceiver.receiver.transport._send_rtp, ["data"]),
        (transceiver.receiver.transport._set_role, ["role"]),
        (transceiver.receiver.transport._set_state, ["state"]),
        (transceiver.receiver.transport._validate_peer_identity, ["remoteParameters"]),
    ):
        assert list(inspect.signature(method).parameters) == parameters
    await pc.close()


async def test_a_seam_that_moved_is_named() -> None:
    """the error says what is missing and what to do."""
    pc = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    transceiver = pc.addTransceiver(Camera())
    with pytest.raises(
        aiortc_internals.InternalsChanged,
        match=r"RTCRtpSender of aiortc 1\.16\.\d+ has no __encoding, install a version that",
    ):
        aiortc_internals.get_private(transceiver.sender, "__encoding")
    await pc.close()


async def test_no_module_is_changed() -> None:
    """after a call the constants that others patch are as they were."""
    before = (
        [extension.uri for extension in HEADER_EXTENSIONS["video"]],
        [str(codec) for codec in aiortc_codecs.CODECS["video"]],
        (h264.MIN_BITRATE, h264.DEFAULT_BITRATE, h264.MAX_BITRATE),
        (vpx.MIN_BITRATE, vpx.DEFAULT_BITRATE, vpx.MAX_BITRATE),
    )
    async with video_call() as call:
        await call.viewer.received.until(3)
    assert before == (
        [extension.uri for extension in HEADER_EXTENSIONS["video"]],
        [str(codec) for codec in aiortc_codecs.CODECS["video"]],
        (h264.MIN_BITRATE, h264.DEFAULT_BITRATE, h264.MAX_BITRATE),
        (vpx.MIN_BITRATE, vpx.DEFAULT_BITRATE, vpx.MAX_BITRATE),
    )


CHROMIUM = """v=0
o=- 1 2 IN IP4 127.0.0.1
s=-
t=0 0
m=video 9 UDP/TLS/RTP/SAVPF 96 103
c=IN IP4 0.0.0.0
a=mid:0
a=extmap:2 http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time
a=extmap:4 http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01
a=extmap:5 http://www.webrtc.org/experiments/rtp-hdrext/playout-delay
a=extmap:8 http://www.webrtc.org/experiments/rtp-hdrext/color-space
a=sendrecv
a=rtcp-mux
a=ice-ufrag:abcd
a=ice-pwd:0123456789abcdef012345
a=fingerprint:sha-256 {fingerprint}
a=setup:actpass
a=rtpmap:96 VP8/90000
a=rtcp-fb:96 transport-cc
a=rtpmap:103 H264/90000
a=rtcp-fb:103 transport-cc
a=rtcp-fb:103 nack pli
a=fmtp:103 packetization-mode=1;profile-level-id=42e01f
""".format(fingerprint=":".join(["00"] * 32)).replace("\n", "\r\n")


@pytest.mark.parametrize("with_feedback", [True, False])
async def test_extensions_are_agreed_on_as_offered(with_feedback: bool) -> None:
    """with the offer's numbers; transport-cc only where its feedback is offered too."""
    offer = CHROMIUM if with_feedback else CHROMIUM.replace("transport-cc\r", "goog-remb\r")
    pc = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    transceiver = pc.addTransceiver(Camera())
    aiortc_internals.prefer_h264(transceiver)
    await pc.setRemoteDescription(RTCSessionDescription(sdp=offer, type="offer"))
    offered = SessionDescription.parse(offer).media[0]
    assert aiortc_internals.add_extensions(transceiver, offered, low_delay=True) is with_feedback
    answer = (await pc.createAnswer()).sdp
    assert f"a=extmap:5 {aiortc_internals.PLAYOUT_DELAY}" in answer
    assert f"a=extmap:8 {COLOUR_SPACE}" in answer
    assert (f"a=extmap:4 {aiortc_internals.TRANSPORT_CC}" in answer) is with_feedback
    assert ("a=rtcp-fb:103 transport-cc" in answer) is with_feedback
    assert aiortc_internals.sent_codec(transceiver) == "H264"
    await pc.close()


@pytest.mark.parametrize(
    ("offered", "answered"), [("actpass", "passive"), ("active", "passive"), ("passive", "active")]
)
async def test_the_other_side_begins_the_handshake(offered: str, answered: str) -> None:
    """wherever its offer lets us choose, on every media of the call."""
    pc = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    pc.addTransceiver(Camera())
    other = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    other.addTransceiver("audio")
    other.addTransceiver("video")
    other.createDataChannel("parameters")
    offer = (await other.createOffer()).sdp.replace("a=setup:actpass", f"a=setup:{offered}")
    await pc.setRemoteDescription(RTCSessionDescription(sdp=offer, type="offer"))
    aiortc_internals.answer_passively(pc, SessionDescription.parse(offer))
    answer = (await pc.createAnswer()).sdp
    assert answer.count("a=setup:") == answer.count(f"a=setup:{answered}") == 3
    await pc.close()
    await other.close()


@pytest.mark.parametrize("smooth", [False, True])
async def test_a_smooth_server_leaves_the_pace_to_the_browser(smooth: bool, tmp_path: Path) -> None:
    """as it was started: the extension is agreed on and rides on every packet, or neither."""
    packets: list[bytes] = []
    async with serving(tmp_path, smooth=smooth) as server:
        pc = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        pc.addTrack(Camera())
        bound_gathering(pc, media_addressing=MediaAddressing(loopback=True))
        await pc.setLocalDescription()
        pc.on("track", lambda track: None)
        mid = "a=mid:0\r\n"
        offer = pc.localDescription.sdp.replace(
            mid, f"{mid}a=extmap:5 {aiortc_internals.PLAYOUT_DELAY}\r\n"
        )
        body = {"sdp": offer, "type": "offer"}
        async with server.client.post(OFFER_PATH, json=body) as response:
            answer = (await response.json())["sdp"]
        transport = pc.getTransceivers()[0].receiver.transport
        handle = transport._handle_rtp_data

        async def listen(data: bytes, arrival_time_ms: int) -> None:
            packets.append(data)
            await handle(data, arrival_time_ms)

        transport._handle_rtp_data = listen  # type: ignore[method-assign]
        await pc.setRemoteDescription(RTCSessionDescription(sdp=answer, type="answer"))
        await poll(lambda: len(packets) > 20)
        await pc.close()
    assert (f"a=extmap:5 {aiortc_internals.PLAYOUT_DELAY}" in answer) is not smooth
    assert {bytes([0x52, 0, 0, 0]) in data[:40] for data in packets} == {not smooth}


def test_playout_delay_rides_on_every_packet() -> None:
    """three zero bytes beside what aiortc sends; nothing where it was not agreed on."""
    extensions = [
        RTCRtpHeaderExtensionParameters(id=1, uri="urn:ietf:params:rtp-hdrext:sdes:mid"),
        RTCRtpHeaderExtensionParameters(id=5, uri=aiortc_internals.PLAYOUT_DELAY),
    ]
    values = HeaderExtensions(mid="0")
    for agreed in (extensions, extensions[:1]):
        ours, theirs = (
            OutgoingExtensions(SendHistory(), delay=PlayoutDelay()),
            HeaderExtensionsMap(),
        )
        for one in (ours, theirs):
            one.configure(RTCRtpParameters(headerExtensions=agreed))
        packet = RtpPacket(payload=b"x")
        packet.extensions = values
        data = packet.serialize(ours)
        assert (bytes([0x52, 0, 0, 0]) in data) is (len(agreed) == 2)
        assert RtpPacket.parse(data, theirs).extensions.mid == "0"


def test_every_packet_is_numbered_for_the_transport() -> None:
    """one that is sent again too, and that with a number of its own; none where it was not agreed
    on."""
    uri = RTCRtpHeaderExtensionParameters(id=3, uri=aiortc_internals.TRANSPORT_CC)
    for agreed in ([uri], []):
        ours, theirs = OutgoingExtensions(SendHistory(), delay=None), HeaderExtensionsMap()
        for one in (ours, theirs):
            one.configure(RTCRtpParameters(headerExtensions=agreed))
        packet = RtpPacket(payload=b"x")
        numbers = [
            RtpPacket.parse(packet.serialize(ours), theirs).extensions.transport_sequence_number
            for _ in range(3)
        ]
        assert numbers == ([0, 1, 2] if agreed else [None] * 3)


@given(st.binary(max_size=40))
def test_any_bytes_for_an_estimate(fci: bytes) -> None:
    """a message that is none, is cut off or speaks of others is no estimate."""
    assert aiortc_sender.read_remb(fci, 7) is None or fci.startswith(b"REMB")
    assert aiortc_sender.read_remb(b"REMB" + fci, 7) is None or len(fci) >= 8
    assert aiortc_sender.read_remb(pack_remb_fci(1000, [7, 8]), 7) == 1000
    assert aiortc_sender.read_remb(pack_remb_fci(1000, [8]), 7) is None

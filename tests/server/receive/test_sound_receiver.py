"""Packets of sound are passed on as they come, within a bound."""

from aiortc import RTCConfiguration, RTCPeerConnection
from aiortc.rtp import RtcpByePacket, RtcpSenderInfo, RtcpSrPacket, RtpPacket
from slipstream_server.receive.sound_receiver import SoundReceiver
from slipstream_server.receive.sound_times import ReceivedSound
from slipstream_server.rtp.ntp import ntp_to_unix_ns


async def test_what_comes_is_passed_on() -> None:
    """whole and with its source; one without a payload is none. Its sender's clock is known from
    the first report on; that of another source is not it. A source that ends may be followed."""
    pc = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    rtc = pc.addTransceiver("audio").receiver
    came: list[ReceivedSound] = []
    receiver = SoundReceiver(rtc, came.append)
    ntp = 3_900_000_000 << 32
    for source, payload in ((7, b"one"), (7, b""), (7, b"two"), (8, b"three")):
        packet = RtpPacket(payload_type=111, timestamp=960, payload=payload)
        packet.ssrc = source
        assert receiver.add(packet) == (False, None)
        info = RtcpSenderInfo(ntp_timestamp=ntp, rtp_timestamp=960, packet_count=1, octet_count=1)
        await rtc._handle_rtcp_packet(RtcpSrPacket(ssrc=7, sender_info=info))
        await rtc._handle_rtcp_packet(RtcpByePacket(sources=[7]))
    assert [(one.source, one.payload) for one in came] == [
        (7, b"one"),
        (7, b"two"),
        (8, b"three"),
    ]
    clocks = [one.captured_unix_ns for one in came]
    assert clocks == [None, ntp_to_unix_ns(ntp), None]
    assert receiver.excess_packets == 0
    await pc.close()


async def test_a_flood_is_bounded() -> None:
    """more than sound ever is does not reach the stream, and is counted."""
    pc = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    came: list[ReceivedSound] = []
    receiver = SoundReceiver(pc.addTransceiver("audio").receiver, came.append)
    for number in range(1000):
        receiver.add(RtpPacket(payload_type=111, timestamp=number, payload=bytes(1400)))
    assert len(came) + receiver.excess_packets == 1000
    assert 60 < len(came) < 200
    await pc.close()

"""Sound on its way in: packets as they come, not decoded; `rtp/aiortc_internals.py` has the rules.

Private names, on aiortc's receiver before it is started:

* `__jitter_buffer`: replaced by an object that passes each packet on and never returns a frame, so
  that nothing reaches aiortc's decoder.
* `_handle_rtcp_packet`: wrapped, to read sender reports.
"""

from collections.abc import Callable

from aiortc import RTCRtpReceiver
from aiortc.rtp import AnyRtcpPacket, RtcpByePacket, RtcpSrPacket, RtpPacket
from slipstream_protocol.clock import now_ns

from slipstream_server.receive.capture_time import SenderClock
from slipstream_server.receive.sound_times import ReceivedSound
from slipstream_server.rtp.aiortc_internals import HandleRtcp, get_private, replace_private
from slipstream_server.sound.delay_line import SOUND_HZ
from slipstream_server.token_bucket import TokenBucket

# of Opus at its highest bitrate, twice; a packet costs the loop more than its bytes
_BYTES_PER_S = 128 << 10
_PACKET_COST_BYTES = 128


class SoundReceiver:
    """Handles the packets of one aiortc receiver. One source is heard, the last that has come.

    Args:
        receiver: of sound, with a track, not started.
        on_sound: called with each packet.

    Raises:
        InternalsChanged: if this aiortc is not built as we know it.

    Attributes:
        excess_packets: dropped, as they came faster than any sound does.
    """

    def __init__(self, receiver: RTCRtpReceiver, on_sound: Callable[[ReceivedSound], None]) -> None:
        self.excess_packets = 0
        self._on_sound = on_sound
        self._budget_bytes = TokenBucket(rate_per_s=_BYTES_PER_S, burst=_BYTES_PER_S)
        self._source: int | None = None
        self._clock = SenderClock(SOUND_HZ)
        replace_private(receiver, "_RTCRtpReceiver__jitter_buffer", self)
        self._handle_rtcp: HandleRtcp = get_private(receiver, "_handle_rtcp_packet")
        replace_private(receiver, "_handle_rtcp_packet", self._handle_rtcp_packet)

    def add(self, packet: RtpPacket) -> tuple[bool, None]:
        """Called by aiortc in place of its jitter buffer's: no PLI to send, no frame to decode."""
        arrived_ns = now_ns()
        if not packet.payload:
            return False, None
        if not self._budget_bytes.take(len(packet.payload) + _PACKET_COST_BYTES, arrived_ns):
            self.excess_packets += 1
            return False, None
        if packet.ssrc != self._source:
            self._source, self._clock = packet.ssrc, SenderClock(SOUND_HZ)
        self._on_sound(
            ReceivedSound(
                payload=packet.payload,
                source=packet.ssrc,
                timestamp=packet.timestamp,
                arrived_ns=arrived_ns,
                captured_unix_ns=self._clock.unix_ns(packet.timestamp),
            )
        )
        return False, None

    async def _handle_rtcp_packet(self, packet: AnyRtcpPacket) -> None:
        if isinstance(packet, RtcpSrPacket) and packet.ssrc == self._source:
            info = packet.sender_info
            self._clock.on_report(info.ntp_timestamp, info.rtp_timestamp)
        elif isinstance(packet, RtcpByePacket):
            return  # aiortc would end the track, and a source may follow
        await self._handle_rtcp(packet)

"""A receive buffer that gives a video frame out with its last packet, not one frame later.

aiortc's own waits until a packet with another time arrives, which costs one frame interval always.
The RTP marker bit already says which packet is the last of a picture (RFC 7741 section 4.1 and RFC
6184 section 5.1). The buffer is put into one connection's receiver; no module is patched.
"""

import logging

from aiortc import RTCRtpReceiver
from aiortc.jitterbuffer import JitterBuffer, JitterFrame
from aiortc.rtp import RtpPacket

logger = logging.getLogger(__name__)

CAPACITY_PACKETS = 512  # as aiortc's own
_BUFFER = "_RTCRtpReceiver__jitter_buffer"


class MarkerJitterBuffer(JitterBuffer):
    """As aiortc's, but a frame is whole at its marker; one without ends where the next begins."""

    def __init__(self, capacity: int = CAPACITY_PACKETS) -> None:
        super().__init__(capacity, is_video=True)

    def _remove_frame(self, sequence_number: int) -> JitterFrame | None:
        while packets := self._whole_frame():
            self.remove(len(packets))
            data = b"".join(packet._data for packet in packets)  # type: ignore[attr-defined]
            if data:  # padding that comes after a marker is no picture of its own
                return JitterFrame(data=data, timestamp=packets[0].timestamp)
        return None

    def _whole_frame(self) -> list[RtpPacket]:
        """The packets of the first frame, or none while one of them is missing."""
        packets: list[RtpPacket] = []
        assert self._origin is not None, "aiortc sets the origin before it asks for a frame"
        for count in range(self._capacity):
            packet = self._packets[(self._origin + count) % self._capacity]
            if packet is None:
                return []
            if packets and packet.timestamp != packets[0].timestamp:
                return packets
            packets.append(packet)
            if packet.marker:
                return packets
        return []


def use_markers(receiver: RTCRtpReceiver) -> None:
    """Give one receiver the buffer before its first packet; leave a changed aiortc alone."""
    if isinstance(getattr(receiver, _BUFFER, None), JitterBuffer):
        setattr(receiver, _BUFFER, MarkerJitterBuffer())
    else:
        logger.warning("aiortc keeps its receive buffer elsewhere now; frames come one late")

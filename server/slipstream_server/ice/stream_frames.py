"""Packets on a byte stream, each behind its length in two bytes (RFC 4571; RFC 6544). Pure."""

_LENGTH_BYTES = 2
PACKET_MAX_BYTES = 4096  # no packet of WebRTC is half as large


class BadFrame(ValueError):
    """What comes is not a packet of WebRTC."""


def framed(packet: bytes) -> bytes:
    """A packet as it is sent."""
    return len(packet).to_bytes(_LENGTH_BYTES, "big") + packet


class FrameReader:
    """Cuts packets out of a stream; it keeps less than one of them."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[bytes]:
        """The packets that are whole with these bytes.

        Raises:
            BadFrame: if one would be larger than `PACKET_MAX_BYTES`.
        """
        buffer = self._rest + data
        packets = []
        at = 0
        while len(buffer) - at >= _LENGTH_BYTES:
            length = int.from_bytes(buffer[at : at + _LENGTH_BYTES], "big")
            if length > PACKET_MAX_BYTES:
                raise BadFrame(f"a packet of {length} bytes, at most {PACKET_MAX_BYTES}")
            end = at + _LENGTH_BYTES + length
            if end > len(buffer):
                break
            packets.append(buffer[at + _LENGTH_BYTES : end])
            at = end
        self._rest = buffer[at:]
        return packets

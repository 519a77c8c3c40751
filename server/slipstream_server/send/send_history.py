"""Packets on their way, joined with the reports of their arrival. Pure."""

from dataclasses import dataclass

from slipstream_server.rtp.transport_report import WRAP_NS, ArrivalReport

SEQUENCES = 1 << 16
_PACKETS_MAX = 4096  # some seconds at any bitrate we send


@dataclass(frozen=True, slots=True, kw_only=True)
class SentPacket:
    """A packet that has left.

    Args:
        probe: the number of the probe it belongs to; None for one that was due anyway.
    """

    sent_ns: int
    size_bytes: int
    probe: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ArrivedPacket:
    """A packet that has come.

    Args:
        arrived_ns: on the receiver's clock, which has another zero.
    """

    sent: SentPacket
    arrived_ns: int


class SendHistory:
    """The packets of one transport that no report has told of yet, the oldest dropped first."""

    def __init__(self) -> None:
        self._packets: dict[int, SentPacket] = {}  # by sequence number, in order of sending
        self._next = 0
        self._last_tick_ns: int | None = None
        self._wraps_ns = 0

    def next_sequence(self) -> int:
        """The transport-wide sequence number of the packet that leaves next, of 16 bits."""
        sequence, self._next = self._next, (self._next + 1) % SEQUENCES
        return sequence

    def add(self, sequence: int, packet: SentPacket) -> None:
        """The packet with this number leaves."""
        self._packets.pop(sequence, None)
        self._packets[sequence] = packet
        if len(self._packets) > _PACKETS_MAX:
            del self._packets[next(iter(self._packets))]

    def arrived(self, report: ArrivalReport) -> list[ArrivedPacket]:
        """The packets that a report tells of for the first time, by their arrival."""
        found = []
        for offset, tick_ns in enumerate(report.ticks_ns):
            if tick_ns is None:
                continue
            packet = self._packets.pop((report.base + offset) % SEQUENCES, None)
            if packet is not None:
                found.append(ArrivedPacket(sent=packet, arrived_ns=self._unwrapped_ns(tick_ns)))
        return sorted(found, key=lambda packet: packet.arrived_ns)

    def _unwrapped_ns(self, tick_ns: int) -> int:
        if self._last_tick_ns is not None:
            if tick_ns < self._last_tick_ns - WRAP_NS // 2:
                self._wraps_ns += WRAP_NS
            elif tick_ns > self._last_tick_ns + WRAP_NS // 2:
                self._wraps_ns -= WRAP_NS
        self._last_tick_ns = tick_ns
        return self._wraps_ns + tick_ns

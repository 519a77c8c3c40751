"""One aiortc sender with our parts in the places of its own; `rtp/aiortc_internals.py` has the
rules.

Private names, on the sender before it is started:

* `__rtp_header_extensions_map`: replaced by a subclass that numbers every packet for the transport
  and adds playout-delay.
* `_send_keyframe`: replaced, so that the viewer's PLI or FIR reaches our encoder.
* `_handle_rtcp_packet`: wrapped, to read REMB and reception reports, and to leave out of a NACK the
  packets that would only fill the link.
* `__rtp_history`: read, for the packets that can be sent again. `__rtt`: read, to space them.
  `__rtx_payload_type`: read, and `_retransmit` called, to probe the link with such packets.
* `transport._handle_rtcp_data`: wrapped, to read reports of arrival, which aiortc takes for NACKs.
* `__rtp_timestamp`: read, to tell the page which frame a record of times is of. `_ssrc`: read.
* `transport.__rx_packets`: read, since a peer that sends nothing at all has vanished.
* `transport` (by the public `setTransport`): replaced by one that waits between the packets of
  large frames, and calls the real one's `_send_rtp`. `__rtp_task`: read, as retransmissions are
  sent on another task, and never wait.
"""

import asyncio
import contextlib
import itertools
import struct
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Protocol

from aiortc import RTCRtpSender
from aiortc.rtp import (
    RTCP_PSFB_APP,
    RTCP_RTPFB_NACK,
    RTP_HISTORY_SIZE,
    AnyRtcpPacket,
    RtcpPsfbPacket,
    RtcpRrPacket,
    RtcpRtpfbPacket,
    RtcpSrPacket,
    RtpPacket,
    unpack_remb_fci,
)
from slipstream_protocol.clock import NS_PER_S, now_ns

from slipstream_server.rtp.aiortc_internals import (
    HandleRtcp,
    get_private,
    replace_private,
)
from slipstream_server.rtp.depacketize import payload_content
from slipstream_server.rtp.transport_report import (
    ArrivalReport,
    BrokenReport,
    find_reports,
    read_arrivals,
)
from slipstream_server.send.bandwidth import RateControl
from slipstream_server.send.link_estimator import Probe
from slipstream_server.send.outgoing_packets import OutgoingExtensions, PacedTransport
from slipstream_server.send.pacer import Pacer
from slipstream_server.send.playout_delay import PlayoutDelay
from slipstream_server.send.retransmit import RetransmitPolicy
from slipstream_server.send.send_history import SendHistory, SentPacket

HandleData = Callable[[bytes], Awaitable[None]]


_PROBE_PACKETS_MAX = 64


class ViewerFeedback(Protocol):
    """The feedback of the viewer's side on the picture sent; that on the link goes to `rate`."""

    rate: RateControl

    def on_key_request(self) -> None: ...


class AiortcSender:
    """One aiortc sender whose feedback goes to `feedback`.

    Args:
        sender: not started; its transport is known, which it is once the offer is set.
        codec: that it sends, as aiortc names it ("H264", "VP8").
        feedback: takes it; None leaves rate and key frames to aiortc's own encoder.
        pacer: spaces out the packets of large frames.
        low_delay: whether the viewer is to show each frame as soon as its link allows.

    Raises:
        InternalsChanged: if this aiortc is not built as we know it.
    """

    def __init__(
        self,
        sender: RTCRtpSender,
        codec: str,
        feedback: ViewerFeedback | None,
        *,
        pacer: Pacer,
        low_delay: bool,
    ) -> None:
        self._sender = sender
        self._codec = codec
        self._feedback = feedback
        self._ssrc: int = get_private(sender, "_ssrc")
        self._history: dict[int, RtpPacket] = get_private(sender, "_RTCRtpSender__rtp_history")
        self._retransmits = RetransmitPolicy(self._is_in_history)
        self._on_the_way = SendHistory()
        self._delay = PlayoutDelay()
        delay = self._delay if low_delay else None
        self._numbers = OutgoingExtensions(self._on_the_way, delay=delay)
        replace_private(sender, "_RTCRtpSender__rtp_header_extensions_map", self._numbers)
        self._retransmit = get_private(sender, "_retransmit")
        self._probe: Probe | None = None
        self._probe_due = asyncio.Event()
        self._probe_number: int | None = None  # of the packet that is sent next
        if feedback is not None:
            replace_private(sender, "_send_keyframe", feedback.on_key_request)
        self._request_key: Callable[[], None] = get_private(sender, "_send_keyframe")
        self._handle_rtcp: HandleRtcp = get_private(sender, "_handle_rtcp_packet")
        replace_private(sender, "_handle_rtcp_packet", self._handle_rtcp_packet)
        get_private(sender.transport, "_send_rtp")
        self._handle_rtcp_data: HandleData = get_private(sender.transport, "_handle_rtcp_data")
        replace_private(sender.transport, "_handle_rtcp_data", self._read_arrivals)
        # it stands in for the real one in all that a sender does with it
        transport = PacedTransport(
            sender, pacer, on_sending=self._on_sending, on_begun=self._on_frame_begun
        )
        sender.setTransport(transport)  # type: ignore[arg-type]

    async def run(self) -> None:
        """Probe the link when that is due, until cancelled."""
        while True:
            await self._probe_due.wait()
            self._probe_due.clear()
            if self._probe is not None:
                await self._send_probe(self._probe)

    async def _send_probe(self, probe: Probe) -> None:
        """Send packets again, the largest of late first; the viewer drops what it has."""
        began_ns = now_ns()
        packets = sorted(self._history.values(), key=lambda one: len(one.payload), reverse=True)
        sent_bytes = 0
        for packet in itertools.islice(itertools.cycle(packets), _PROBE_PACKETS_MAX):
            due_ns = began_ns + sent_bytes * 8 * NS_PER_S // probe.bitrate_bps
            await asyncio.sleep(max(0, due_ns - now_ns()) / NS_PER_S)
            self._probe_number = probe.number
            await self._retransmit(packet.sequence_number)
            sent_bytes += len(packet.payload)
            if sent_bytes >= probe.size_bytes:
                return

    async def _read_arrivals(self, data: bytes) -> None:
        for fci in find_reports(data):
            with contextlib.suppress(BrokenReport):
                self._on_arrivals(read_arrivals(fci))
        await self._handle_rtcp_data(data)

    def _on_arrivals(self, report: ArrivalReport) -> None:
        packets = self._on_the_way.arrived(report)
        if self._feedback is None:
            return
        rate, now = self._feedback.rate, now_ns()
        rate.on_arrivals(packets, missing=report.missing, now_ns=now)
        can_probe = get_private(self._sender, "_RTCRtpSender__rtx_payload_type") is not None
        if can_probe and self._history and (probe := rate.next_probe(now)) is not None:
            self._probe = probe
            self._probe_due.set()

    def _on_sending(self, size_bytes: int) -> None:
        probe, self._probe_number = self._probe_number, None
        now = now_ns()
        if self._numbers.taken is not None:
            packet = SentPacket(sent_ns=now, size_bytes=size_bytes, probe=probe)
            self._on_the_way.add(self._numbers.taken, packet)
        if self._feedback is not None and probe is None:
            self._feedback.rate.on_packet_sent(size_bytes, now)

    async def _handle_rtcp_packet(self, packet: AnyRtcpPacket) -> None:
        if self._feedback is not None:
            self._notify(self._feedback, packet)
        if isinstance(packet, RtcpRtpfbPacket) and packet.fmt == RTCP_RTPFB_NACK:
            decision = self._retransmits.decide(packet.lost, now_ns(), self._rtt_ns)
            if decision.needs_key:
                self._request_key()
            packet = replace(packet, lost=list(decision.sequences))
        await self._handle_rtcp(packet)

    def _notify(self, feedback: ViewerFeedback, packet: AnyRtcpPacket) -> None:
        if isinstance(packet, RtcpRrPacket | RtcpSrPacket):
            for report in packet.reports:
                if report.ssrc == self._ssrc:
                    self._delay.on_report(
                        packets_lost=report.packets_lost,
                        highest_sequence=report.highest_sequence,
                        rtt_ns=self._rtt_ns,
                        is_queueing=feedback.rate.is_queueing(now_ns()),
                        now_ns=now_ns(),
                    )
                    feedback.rate.on_report(
                        packets_lost=report.packets_lost,
                        highest_sequence=report.highest_sequence,
                        now_ns=now_ns(),
                    )
        elif isinstance(packet, RtcpPsfbPacket) and packet.fmt == RTCP_PSFB_APP:
            estimate_bps = read_remb(packet.fci, self._ssrc)
            if estimate_bps is not None:
                feedback.rate.on_remb(estimate_bps, now_ns())

    @property
    def _rtt_ns(self) -> int:
        """Of the link; 0 while it is not known."""
        rtt_s: float | None = get_private(self._sender, "_RTCRtpSender__rtt")
        return int((rtt_s or 0) * NS_PER_S)

    def _on_frame_begun(self, sequence: int) -> None:
        packet = self._history[sequence % RTP_HISTORY_SIZE]
        content = payload_content(self._codec, packet.payload)
        if content.starts_frame and content.is_key:
            self._retransmits.on_key_frame_sent(sequence)

    def _is_in_history(self, sequence: int) -> bool:
        packet = self._history.get(sequence % RTP_HISTORY_SIZE)
        return packet is not None and packet.sequence_number == sequence


def read_remb(fci: bytes, ssrc: int) -> int | None:
    """The receiver's estimate in bit/s for `ssrc`; None if the message holds none, or is broken."""
    try:
        bitrate_bps, ssrcs = unpack_remb_fci(fci)
    except (ValueError, struct.error):
        return None
    return bitrate_bps if ssrc in ssrcs else None


def last_rtp_timestamp(sender: RTCRtpSender) -> int:
    """The RTP time of the last packet `sender` has sent.

    aiortc adds a random offset to every pts; the sum is private, for its sender reports.
    """
    timestamp: int = get_private(sender, "_RTCRtpSender__rtp_timestamp")
    return timestamp


def received_packets(sender: RTCRtpSender) -> int:
    """Packets of all kinds, but STUN, that the sender's transport has received so far."""
    count: int = get_private(sender.transport, "_RTCDtlsTransport__rx_packets")
    return count

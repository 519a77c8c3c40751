"""What becomes of each packet between aiortc's sender and its transport: numbers, and waits.

The private names that are used are those that `aiortc_sender.py` lists.
"""

import asyncio
from collections.abc import Callable
from typing import Any

from aiortc import RTCRtpSender
from aiortc.rtcrtpparameters import RTCRtpParameters
from aiortc.rtp import (
    HeaderExtensions,
    HeaderExtensionsMap,
    is_rtcp,
    pack_header_extensions,
    unpack_header_extensions,
)
from slipstream_protocol.clock import NS_PER_S, now_ns

from slipstream_server.rtp.aiortc_internals import PLAYOUT_DELAY, TRANSPORT_CC, get_private
from slipstream_server.send.pacer import Pacer
from slipstream_server.send.playout_delay import PlayoutDelay
from slipstream_server.send.send_history import SendHistory

_ONE_BYTE, _ONE_BYTE_MAX = 0xBEDE, 14  # RFC 8285, section 4.2: its profile, its largest number


class OutgoingExtensions(HeaderExtensionsMap):
    """Numbers every packet for the transport, and adds for how long its frame is to be kept, where
    the viewer knows the extensions.

    Sources: RFC 8285; draft-holmer-rmcat-transport-wide-cc-extensions-01, section 2;
    http://www.webrtc.org/experiments/rtp-hdrext/playout-delay.

    Args:
        history: gives the numbers.
        delay: for how long frames are kept; None leaves that to the viewer.
    """

    def __init__(self, history: SendHistory, *, delay: PlayoutDelay | None) -> None:
        super().__init__()
        self.taken: int | None = None  # the number of the packet just made
        self._history = history
        self._delay = delay
        self._ids: dict[str, int] = {}

    def configure(self, parameters: RTCRtpParameters) -> None:
        super().configure(parameters)
        self._ids |= {extension.uri: extension.id for extension in parameters.headerExtensions}

    def set(self, values: HeaderExtensions) -> tuple[int, bytes]:
        if TRANSPORT_CC in self._ids:
            # the same object comes again with a packet that is sent again
            self.taken = values.transport_sequence_number = self._history.next_sequence()
        profile, packed = super().set(values)
        number = self._ids.get(PLAYOUT_DELAY)
        if self._delay is None or number is None:
            return profile, packed
        delay = self._delay.packed(now_ns())
        if profile == _ONE_BYTE and number <= _ONE_BYTE_MAX:
            # a whole word, as all before it are: padding may stand between two (section 4.2)
            return profile, packed + bytes([number << 4 | len(delay) - 1]) + delay
        extensions = unpack_header_extensions(profile, packed)
        return pack_header_extensions([*extensions, (number, delay)])


class PacedTransport:
    """The sender's DTLS transport, which waits after a packet for as long as the pacer says.

    aiortc stamps a packet just before it sends it: waiting afterwards keeps the stamp right.

    Args:
        on_sending: called with the size of each packet just before it leaves.
        on_begun: called with the sequence number of the first packet of each frame that was sent,
            but not of retransmissions.
    """

    def __init__(
        self,
        sender: RTCRtpSender,
        pacer: Pacer,
        *,
        on_sending: Callable[[int], None],
        on_begun: Callable[[int], None],
    ) -> None:
        self._sender = sender
        self._on_sending = on_sending
        self._on_begun = on_begun
        self._begins_frame = True  # whether the next packet does
        self._transport: Any = sender.transport
        self._pacer = pacer
        get_private(sender, "_RTCRtpSender__rtp_task")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    async def _send_rtp(self, data: bytes) -> None:
        if not is_rtcp(data):
            self._on_sending(len(data))
        await self._transport._send_rtp(data)
        if asyncio.current_task() is get_private(self._sender, "_RTCRtpSender__rtp_task"):
            if self._begins_frame:
                self._on_begun(int.from_bytes(data[2:4], "big"))
            ends_frame = self._begins_frame = bool(data[1] & 0x80)
            wait_ns = self._pacer.wait_after_ns(len(data), now_ns())
            if wait_ns and not ends_frame:
                self._pacer.waited_ns += wait_ns
                await asyncio.sleep(wait_ns / NS_PER_S)

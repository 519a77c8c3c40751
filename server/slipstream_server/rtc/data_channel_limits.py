"""A limit on what a call's data channels may bring, applied before messages are reassembled.

SCTP in Python costs the event loop that all calls share, and a message that never ends would be
kept until it does. So datagrams are counted as they come, on the instance of one call, by what
they cost (`sctp_costs.py`); and what waits for what is missing is bounded, since aiortc goes
through all of it for each chunk. Private names of `RTCSctpTransport`: `_handle_data` is wrapped,
`_advertised_rwnd`, `_sack_misordered` and `_inbound_streams` are read.

aiortc fails at what it cannot read (text that is no UTF-8, a channel opened in half a message),
with a traceback and as if the viewer had hung up; here such datagrams are reported instead.
"""

from collections.abc import Awaitable, Callable

from aiortc import RTCSctpTransport

from slipstream_server.rtc.sctp_costs import cost_bytes
from slipstream_server.rtp.aiortc_internals import get_private, replace_private

_ENDLESS_BYTES = 1 << 40  # more than any limit admits
_MAX_OVERDRAFT_BYTES = 64 << 10  # beyond the receive window; a sender that obeys it has none
_WAITING_MAX_CHUNKS = 256  # out of order, or of messages without an end: 300 KB in whole ones
_STREAMS_MAX = 64  # a page has a few channels


class DataChannelLimit:
    """Handles datagrams for as long as they are admitted and can be read, and none after that.

    Args:
        sctp: of a call, before it begins.
        admit: whether so many bytes may come; called for each datagram until the first refusal.
        on_unreadable: called once, with the error of a datagram that cannot be read.

    Raises:
        InternalsChanged: if this aiortc is not built as we know it.
    """

    def __init__(
        self,
        sctp: RTCSctpTransport,
        admit: Callable[[int], bool],
        on_unreadable: Callable[[Exception], None],
    ) -> None:
        self._sctp = sctp
        self._admit = admit
        self._on_unreadable = on_unreadable
        self._is_closed = False
        for name in ("_advertised_rwnd", "_sack_misordered", "_inbound_streams"):
            get_private(sctp, name)
        self._handle: Callable[[bytes], Awaitable[None]] = get_private(sctp, "_handle_data")
        replace_private(sctp, "_handle_data", self._handle_data)

    async def _handle_data(self, data: bytes) -> None:
        if self._is_closed:
            return
        if not self._admit(_ENDLESS_BYTES if self._is_overdrawn() else cost_bytes(data)):
            self._is_closed = True
            return
        try:
            await self._handle(data)
        except ConnectionError:
            raise  # the call is ending
        except Exception as error:  # aiortc raises whatever it runs into
            self._is_closed = True
            self._on_unreadable(error)

    def _is_overdrawn(self) -> bool:
        """Whether messages without an end have used up the window, in bytes or in pieces."""
        window_bytes: int = get_private(self._sctp, "_advertised_rwnd")
        streams = get_private(self._sctp, "_inbound_streams")
        return (
            window_bytes < -_MAX_OVERDRAFT_BYTES
            or len(get_private(self._sctp, "_sack_misordered")) > _WAITING_MAX_CHUNKS
            or len(streams) > _STREAMS_MAX
            or sum(len(one.reassembly) for one in streams.values()) > _WAITING_MAX_CHUNKS
        )

"""Which datagrams are accepted on a call's UDP ports.

Anybody can send to them. aioice does not catch the errors that a malformed STUN message provokes in
its parser, so each is a traceback in the log; and it queues everything that is not STUN, from any
sender, without a bound. Here datagrams are classified by their first byte (RFC 7983): STUN goes to
aioice's parser, whose errors are counted; all else must come from an address that ICE knows, and
goes straight to the connection's queue. More of either than a caller can have use for is left out
before it costs anything: a STUN message takes as long as several packets of media, and the event
loop is all calls'. Strangers have a share of their own, which takes nothing from the peer's.

Private names of aioice that are used: `Connection._protocols`, `_check_list`, `_queue`,
`data_received`, and `StunProtocol.datagram_received`, which is replaced on the instances of a call.
"""

import functools
import logging
from collections import Counter
from collections.abc import Callable
from typing import Any

from slipstream_protocol.clock import now_ns

from slipstream_server.ice.path_following import PathFollowing
from slipstream_server.token_bucket import TokenBucket

logger = logging.getLogger(__name__)

_STUN, _DTLS = range(4), range(20, 64)  # the first byte of a message
UNREAD_MAX = 1024  # datagrams in the connection's queue
STUN_PER_S, STUN_BURST = 200, 400  # consent is a few a minute, many candidates some tens a second
# a handshake is a dozen, data channels some hundred a second; each costs much more than media
DTLS_PER_S, DTLS_BURST = 500, 1_000
MEDIA_PER_S, MEDIA_BURST = 5_000, 5_000  # 48 Mbit/s in whole packets

Receive = Callable[[bytes, tuple[Any, ...]], None]


class PacketFilter:
    """Filters what the sockets of one ICE connection receive.

    Dropped datagrams are counted in `drops` by cause, and each cause is logged once: `empty`;
    `flood` for more than is handled; `unreadable` for malformed STUN; `stranger` for media from an
    address that is no candidate of the peer; `unread` where the queue is full.

    Args:
        connection: of aioice; its sockets are open when `install` is called.
    """

    def __init__(self, connection: Any) -> None:
        self.drops: Counter[str] = Counter()
        self._connection = connection
        self._known: frozenset[tuple[str, int]] = frozenset()
        self._path = PathFollowing(connection)
        self._stun = TokenBucket(rate_per_s=STUN_PER_S, burst=STUN_BURST)
        self._strangers_stun = TokenBucket(rate_per_s=STUN_PER_S, burst=STUN_BURST)
        self._dtls = TokenBucket(rate_per_s=DTLS_PER_S, burst=DTLS_BURST)
        self._media = TokenBucket(rate_per_s=MEDIA_PER_S, burst=MEDIA_BURST)

    def install(self) -> None:
        """Put the filter before every socket of the connection."""
        for protocol in self._connection._protocols:
            receive = functools.partial(self._filter, protocol, protocol.datagram_received)
            protocol.datagram_received = receive

    def _filter(
        self, protocol: Any, receive: Receive, data: bytes, address: tuple[Any, ...]
    ) -> None:
        if not data:
            self._drop("empty", address)
        elif data[0] in _STUN:
            is_known = (address[0], address[1]) in self._known
            if not (self._stun if is_known else self._strangers_stun).take(1, now_ns()):
                self._drop("flood", address)
                return
            try:
                receive(data, address)
            except Exception:  # struct.error among others; the counter is enough
                self._drop("unreadable", address)
        elif not self._is_known(address):
            self._drop("stranger", address)
        elif self._connection._queue.qsize() >= UNREAD_MAX:
            self._drop("unread", address)
        elif not (self._dtls if data[0] in _DTLS else self._media).take(1, now := now_ns()):
            self._drop("flood", address)
        else:
            self._path.on_packet(protocol, (address[0], address[1]), now)
            self._connection.data_received(data, protocol.local_candidate.component)

    def _is_known(self, address: tuple[Any, ...]) -> bool:
        """Whether it is a candidate of the peer: signalled, or peer reflexive (RFC 8445)."""
        host_port = (address[0], address[1])
        if host_port not in self._known:
            pairs = self._connection._check_list
            self._known = frozenset(pair.remote_addr for pair in pairs)
        return host_port in self._known

    def _drop(self, cause: str, address: tuple[Any, ...]) -> None:
        if not self.drops[cause]:
            logger.info("%s datagrams come from %s and are left out", cause, address[0])
        self.drops[cause] += 1

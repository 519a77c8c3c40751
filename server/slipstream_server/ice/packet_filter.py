"""What may come in at a call's UDP ports.

Anybody can send to them. aioice lets errors out of its STUN parser that a datagram of the right
shape provokes, each a traceback in the log; and it passes on whatever is no STUN, whoever sent it,
into a queue without a bound. Here the kinds are told apart by their first byte (RFC 7983): STUN
goes to the parser, whose errors are counted; all else must come from an address that ICE knows, and
takes the short way past the parser.

Names of aioice's own that are used: `Connection._protocols`, `_check_list`, `_queue`,
`data_received`, and `StunProtocol.datagram_received`, which is replaced on the instances of a call.
"""

import functools
import logging
from collections import Counter
from collections.abc import Callable
from typing import Any

logger = logging.getLogger(__name__)

_STUN = range(4)  # the first byte of a STUN message
_WAITING_MAX = 1024  # datagrams that may wait to be read

Receive = Callable[[bytes, tuple[Any, ...]], None]


class PacketFilter:
    """Stands before the sockets of one ICE connection.

    Datagrams left out are counted in `drops`, by cause, and logged once for each: `empty`,
    `unreadable` is no STUN though it begins so, `stranger` came from where nothing may come,
    `unread` came faster than it was read.

    Args:
        connection: of aioice; its sockets are open when `guard` is called.
    """

    def __init__(self, connection: Any) -> None:
        self.drops: Counter[str] = Counter()
        self._connection = connection
        self._known: frozenset[tuple[str, int]] = frozenset()

    def guard(self) -> None:
        """Take the place before every socket."""
        for protocol in self._connection._protocols:
            receive = functools.partial(self._take, protocol, protocol.datagram_received)
            protocol.datagram_received = receive

    def _take(self, protocol: Any, receive: Receive, data: bytes, address: tuple[Any, ...]) -> None:
        if not data:
            self._drop("empty", address)
        elif data[0] in _STUN:
            try:
                receive(data, address)
            except Exception:  # struct's errors among others, which nobody has to see one by one
                self._drop("unreadable", address)
        elif not self._is_known(address):
            self._drop("stranger", address)
        elif self._connection._queue.qsize() >= _WAITING_MAX:
            self._drop("unread", address)
        else:
            self._connection.data_received(data, protocol.local_candidate.component)

    def _is_known(self, address: tuple[Any, ...]) -> bool:
        """Whether the address was named by the caller, or has proved to be the caller's."""
        host_port = (address[0], address[1])
        if host_port not in self._known:
            pairs = self._connection._check_list
            self._known = frozenset(pair.remote_addr for pair in pairs)
        return host_port in self._known

    def _drop(self, cause: str, address: tuple[Any, ...]) -> None:
        if not self.drops[cause]:
            logger.info("%s datagrams come from %s and are left out", cause, address[0])
        self.drops[cause] += 1

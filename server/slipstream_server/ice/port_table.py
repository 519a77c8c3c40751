"""Whose a datagram is, of all calls that share one port. Pure.

A check names the call it is for (its ufrag), the response to a check repeats the number of the
check, and everything else is known by where it comes from: an address is a call's from the moment
that a check from it was authenticated, until the call ends or nothing has come from it for as long
as consent lasts (RFC 7675). What is none of these belongs to nobody, and is counted.
"""

from collections import Counter
from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from slipstream_protocol.clock import NS_PER_S

from slipstream_server.ice.stun_header import StunKind, called_ufrag, is_stun, read_header

ADDRESSES_MAX = 16  # of one call, that packets come from
_TRANSACTIONS_MAX = 256  # of one call, that wait for a response
_IDLE_NS = 30 * NS_PER_S  # consent lasts so long (RFC 7675, section 5.1)
_HELD_NS = 2 * NS_PER_S  # an address that is heard of so often is nobody else's

TransportAddress = tuple[str, int]
Session = TypeVar("Session", bound=Hashable)


@dataclass(slots=True)
class _Route(Generic[Session]):
    session: Session
    heard_ns: int


@dataclass(slots=True)
class _Belongings:
    """What is to be forgotten with a session, the oldest first."""

    ufrag: str
    addresses: dict[TransportAddress, None] = field(default_factory=dict)
    transactions: dict[bytes, None] = field(default_factory=dict)


class PortTable(Generic[Session]):
    """The calls of one port, and the addresses that are theirs.

    Datagrams of nobody are counted in `drops` by cause: `empty`, `unreadable` STUN, `unknown_call`,
    `unknown_response`, `stranger`.
    """

    def __init__(self) -> None:
        self.drops: Counter[str] = Counter()
        self._by_ufrag: dict[str, Session] = {}
        self._by_transaction: dict[bytes, Session] = {}
        self._by_address: dict[TransportAddress, _Route[Session]] = {}
        self._belongings: dict[Session, _Belongings] = {}

    def add(self, ufrag: str, session: Session) -> None:
        """A call begins.

        Raises:
            ValueError: if its user name is another's.
        """
        if ufrag in self._by_ufrag:
            raise ValueError(f"ufrag {ufrag!r} is another call's, take a new one")
        self._by_ufrag[ufrag] = session
        self._belongings[session] = _Belongings(ufrag)

    def remove(self, session: Session) -> tuple[TransportAddress, ...]:
        """A call ends; returns the addresses that were its own."""
        belongings = self._belongings.pop(session, None)
        if belongings is None:
            return ()
        del self._by_ufrag[belongings.ufrag]
        for transaction in belongings.transactions:
            del self._by_transaction[transaction]
        for address in belongings.addresses:
            del self._by_address[address]
        return tuple(belongings.addresses)

    def expect(self, transaction_id: bytes, session: Session) -> None:
        """A call has sent a check, to which a response may come."""
        belongings = self._belongings.get(session)
        if belongings is None:
            return
        if len(belongings.transactions) >= _TRANSACTIONS_MAX:
            oldest = next(iter(belongings.transactions))
            del belongings.transactions[oldest], self._by_transaction[oldest]
        belongings.transactions[transaction_id] = None
        self._by_transaction[transaction_id] = session

    def learn(
        self, address: TransportAddress, session: Session, now_ns: int
    ) -> tuple[TransportAddress, ...] | None:
        """A check from this address was authenticated as the call's.

        Returns:
            The addresses that are no longer the call's; None if this one does not become its own,
            being another's who is heard of.
        """
        belongings = self._belongings.get(session)
        if belongings is None:
            return None
        route = self._by_address.get(address)
        if route is not None and route.session != session:
            if now_ns - route.heard_ns < _HELD_NS:
                return None
            del self._belongings[route.session].addresses[address]
        self._by_address[address] = _Route(session, now_ns)
        belongings.addresses.pop(address, None)
        belongings.addresses[address] = None
        if len(belongings.addresses) <= ADDRESSES_MAX:
            return ()
        oldest = next(iter(belongings.addresses))
        del belongings.addresses[oldest], self._by_address[oldest]
        return (oldest,)

    def find(self, data: bytes, address: TransportAddress, now_ns: int) -> Session | None:
        """Whose datagram it is; None if it is nobody's, which is counted.

        Args:
            now_ns: on the monotonic clock.
        """
        cause, found = self._found(data, address, now_ns)
        if found is None:
            self.drops[cause] += 1
        return found

    def find_called(self, data: bytes) -> Session | None:
        """The call that a check names; None, which is counted, for anything else."""
        header = read_header(data)
        is_check = header is not None and header.kind is StunKind.REQUEST
        found = self._by_ufrag.get(called_ufrag(data) or "") if is_check else None
        if found is None:
            self.drops["unknown_call" if is_check else "unreadable"] += 1
        return found

    def _found(
        self, data: bytes, address: TransportAddress, now_ns: int
    ) -> tuple[str, Session | None]:
        """Whose it is, behind what it is if it is nobody's."""
        if not data:
            return "empty", None
        if is_stun(data):
            header = read_header(data)
            if header is None:
                return "unreadable", None
            if header.kind is StunKind.REQUEST:
                return "unknown_call", self._by_ufrag.get(called_ufrag(data) or "")
            if header.kind is not StunKind.INDICATION:
                return "unknown_response", self._by_transaction.get(header.transaction_id)
        route = self._by_address.get(address)
        if route is None or now_ns - route.heard_ns > _IDLE_NS:
            return "stranger", None
        route.heard_ns = now_ns
        return "", route.session

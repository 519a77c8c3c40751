"""Places for new streams: which node has one, and who has been promised it. Pure: times are
arguments.

A node's report says how many streams more it has room for. Between two reports the gate itself
counts: a place is reserved before an offer is passed on, and stays so until a report that was asked
for after the node's answer has counted the stream, or until the reservation is given back. So
however many offers come at once, no node gets more than it has reported places. A reservation that
nobody gives back ends by itself.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from slipstream_protocol.clock import NS_PER_S

RESERVATION_NS = 30 * NS_PER_S


@dataclass(frozen=True, slots=True, kw_only=True)
class Reservation:
    """A place that is kept.

    Args:
        number: tells reservations apart.
        node: that has it.
        ends_ns: by itself.
        answered_ns: when the node has answered that the stream is there; None before.
    """

    number: int
    node: str
    ends_ns: int
    answered_ns: int | None = None


@dataclass(slots=True)
class _Node:
    free: int
    asked_ns: int
    closed_until_ns: int = 0
    reservations: dict[int, Reservation] = field(default_factory=dict)


class NodePlaces:
    """Places of all nodes."""

    def __init__(self) -> None:
        self._nodes: dict[str, _Node] = {}
        self._last_number = 0

    def report(self, node: str, *, free: int, asked_ns: int) -> None:
        """A node has reported its free places.

        Args:
            asked_ns: when it was asked, before it counted.
        """
        known = self._nodes.get(node)
        if known is None:
            self._nodes[node] = _Node(free=free, asked_ns=asked_ns)
            return
        if asked_ns < known.asked_ns:
            return
        known.free, known.asked_ns = free, asked_ns
        for number, one in list(known.reservations.items()):
            if one.answered_ns is not None and one.answered_ns <= asked_ns:
                del known.reservations[number]

    def forget(self, node: str) -> None:
        """A node is gone, with what was reserved on it."""
        self._nodes.pop(node, None)

    def free(self, node: str, now_ns: int) -> int:
        """Places of a node that nobody has been promised."""
        known = self._nodes.get(node)
        if known is None or now_ns < known.closed_until_ns:
            return 0
        self._expire(known, now_ns)
        return max(0, known.free - len(known.reservations))

    def total_free(self, now_ns: int) -> int:
        """Places of all nodes."""
        return sum(self.free(node, now_ns) for node in self._nodes)

    def reserve(self, now_ns: int, *, but: Iterable[str] = ()) -> Reservation | None:
        """A place on the node that has most of them; None where there is none.

        Args:
            but: nodes that are not to be taken.
        """
        refused = frozenset(but)
        candidates = [node for node in self._nodes if node not in refused]
        best = max(candidates, key=lambda node: (self.free(node, now_ns), node), default=None)
        if best is None or not self.free(best, now_ns):
            return None
        self._last_number += 1
        kept = Reservation(number=self._last_number, node=best, ends_ns=now_ns + RESERVATION_NS)
        self._nodes[best].reservations[kept.number] = kept
        return kept

    def answered(self, reservation: Reservation, now_ns: int) -> None:
        """The stream is there; the place counts until a report has counted the stream."""
        node = self._nodes.get(reservation.node)
        if node is not None and reservation.number in node.reservations:
            node.reservations[reservation.number] = replace(reservation, answered_ns=now_ns)

    def give_back(self, reservation: Reservation) -> None:
        """The place is not needed; nothing for one that has been answered, or has ended."""
        node = self._nodes.get(reservation.node)
        kept = node.reservations.get(reservation.number) if node is not None else None
        if node is not None and kept is not None and kept.answered_ns is None:
            del node.reservations[reservation.number]

    def close(self, node: str, *, until_ns: int) -> None:
        """A node has refused a stream for which it had reported room: it gets none until then."""
        known = self._nodes.get(node)
        if known is not None:
            known.closed_until_ns = max(known.closed_until_ns, until_ns)

    @staticmethod
    def _expire(node: _Node, now_ns: int) -> None:
        for number, one in list(node.reservations.items()):
            if one.ends_ns <= now_ns:
                del node.reservations[number]

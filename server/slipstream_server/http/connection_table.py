"""Which HTTP connections may be there: places by address and in all, and deadlines. Pure.

A quarter of the places is kept for addresses that hold few, so that one address that takes all it
can get shuts nobody else out. An idle connection gives way to a new one: closing it costs a browser
nothing. The deadlines end those that keep a place without using it.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from slipstream_protocol.clock import NS_PER_S

from slipstream_server.observability.http_metrics import ConnectionCounts

_FEW = 8  # connections that a browser opens to one host, and some


class Phase(StrEnum):
    """What a connection is at."""

    HEAD = "head"  # of a request: nothing of it, or not all of it has come
    REQUEST = "request"  # its body comes, it is served, its answer is sent
    IDLE = "idle"  # between two requests


DEADLINES_S: Mapping[Phase, float] = {
    Phase.HEAD: 10.0,
    Phase.REQUEST: 60.0,
    Phase.IDLE: 75.0,  # longer than proxies keep theirs, so that they do not meet a closed one
}


@dataclass(eq=False, slots=True)
class Place:
    """One connection's."""

    client: str
    since_ns: int
    phase: Phase = Phase.HEAD


@dataclass(frozen=True, slots=True, kw_only=True)
class NewPlace:
    """What becomes of a new connection.

    Args:
        place: its place; None if it is refused.
        evicted: the idle connection that gives way to it and is to be closed.
    """

    place: Place | None
    evicted: Place | None = None


class ConnectionTable:
    """The places. Times are arguments, in ns.

    Args:
        capacity: connections in all.

    Raises:
        ValueError: if that is fewer than a browser opens.
    """

    def __init__(self, capacity: int) -> None:
        if capacity < _FEW:
            raise ValueError(f"capacity is {capacity}, it must be at least {_FEW}")
        self.refused = 0
        self.evicted = 0
        self._capacity = capacity
        self._places: dict[str, dict[Place, None]] = {}  # by client, the oldest first
        self._total = 0

    def admit(self, client: str, now_ns: int, *, is_proxy: bool = False) -> NewPlace:
        """Give a new connection a place, if there is one for it.

        Args:
            is_proxy: whether many may be behind this address.
        """
        own = self._places.get(client, {})
        quarter = self._capacity // 4
        share = self._capacity - quarter if is_proxy else quarter
        evicted: Place | None = None
        if len(own) >= max(share, _FEW):
            evicted = _longest_idle(own)
        elif self._total >= self._capacity:
            evicted = _longest_idle(place for places in self._places.values() for place in places)
        elif self._total < self._capacity - quarter or len(own) < _FEW:
            return NewPlace(place=self._add(client, now_ns))
        else:
            evicted = _longest_idle(own)
        if evicted is None:
            self.refused += 1
            return NewPlace(place=None)
        self.evicted += 1
        self.release(evicted)
        return NewPlace(place=self._add(client, now_ns), evicted=evicted)

    def enter(self, place: Place, phase: Phase, now_ns: int) -> None:
        """The connection is at this from now on."""
        place.phase, place.since_ns = phase, now_ns

    def release(self, place: Place) -> None:
        """The connection is gone; more than once is harmless."""
        own = self._places.get(place.client, {})
        if place not in own:
            return
        del own[place]
        self._total -= 1
        if not own:
            del self._places[place.client]

    def expired(self, now_ns: int) -> list[Place]:
        """The connections that are to be closed."""
        return [
            place
            for own in self._places.values()
            for place in own
            if now_ns - place.since_ns > DEADLINES_S[place.phase] * NS_PER_S
        ]

    def has(self, place: Place) -> bool:
        """Whether the connection is still there."""
        return place in self._places.get(place.client, {})

    def held_by(self, client: str) -> int:
        """The places of one address."""
        return len(self._places.get(client, {}))

    def totals(self) -> ConnectionCounts:
        """Connections now and those that were closed for want of a place, for the metrics."""
        now = self.counts()
        return ConnectionCounts(
            open={phase.value: now.get(phase, 0) for phase in Phase},
            places=self._capacity,
            refused=self.refused,
            evicted=self.evicted,
        )

    def counts(self) -> Mapping[Phase, int]:
        """Connections now, by what they are at."""
        return Counter(place.phase for own in self._places.values() for place in own)

    def _add(self, client: str, now_ns: int) -> Place:
        place = Place(client, now_ns)
        self._places.setdefault(client, {})[place] = None
        self._total += 1
        return place


def _longest_idle(places: Iterable[Place]) -> Place | None:
    idle = [place for place in places if place.phase is Phase.IDLE]
    return min(idle, key=lambda place: place.since_ns, default=None)

"""Wrong tokens: an address that sends many may not try another for a while. Pure."""

from collections import OrderedDict
from dataclasses import dataclass

from slipstream_protocol.clock import NS_PER_S

FREE_TRIES = 10  # a person who mistypes, a script with last week's token
FIRST_WAIT_S = 1.0
LONGEST_WAIT_S = 60.0
FORGET_S = 600.0
_CAPACITY = 4096


@dataclass(slots=True)
class _Client:
    tries: int
    last_ns: int


class WrongTokens:
    """How often each client was wrong, and how long it waits: twice as long each time.

    A client is forgotten `FORGET_S` after its last wrong token; of too many, the one that was wrong
    the longest ago. No client's tries count for another.

    Args:
        capacity: clients remembered.

    Raises:
        ValueError: if `capacity` is less than 1.
    """

    def __init__(self, *, capacity: int = _CAPACITY) -> None:
        if capacity < 1:
            raise ValueError(f"capacity is {capacity}, it must be at least 1")
        self._capacity = capacity
        self._clients: OrderedDict[str, _Client] = OrderedDict()

    def __len__(self) -> int:
        return len(self._clients)

    def wait_s(self, client: str, now_ns: int) -> float:
        """How long until the client may try again; 0 if it may now."""
        known = self._clients.get(client)
        if known is None or known.tries < FREE_TRIES:
            return 0.0
        doublings = min(known.tries - FREE_TRIES, 16)
        wait_s = min(FIRST_WAIT_S * (1 << doublings), LONGEST_WAIT_S)
        return max(0.0, wait_s - (now_ns - known.last_ns) / NS_PER_S)

    def count(self, client: str, now_ns: int) -> None:
        """The client has sent a wrong token."""
        self._forget(now_ns)
        known = self._clients.pop(client, None) or _Client(0, now_ns)
        known.tries, known.last_ns = known.tries + 1, now_ns
        self._clients[client] = known
        while len(self._clients) > self._capacity:
            self._clients.popitem(last=False)

    def _forget(self, now_ns: int) -> None:
        """Forget those that were wrong long ago: they are the first, in the order of their last."""
        while self._clients:
            client, known = next(iter(self._clients.items()))
            if now_ns - known.last_ns < FORGET_S * NS_PER_S:
                return
            del self._clients[client]

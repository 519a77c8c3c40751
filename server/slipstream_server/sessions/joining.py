"""Calls that are being answered: what they keep from others meanwhile, and how many there may be.

Each block stands for the answering of one call.
"""

import contextlib
from collections import Counter
from collections.abc import Iterator

from slipstream_server.errors import Conflict, TooOften, subscribers_full
from slipstream_server.streams.registry import UNCONNECTED_S

_RETRY_S = 10.0


class JoiningCalls:
    """Names, addresses and places that are taken by calls which are no sessions yet.

    Args:
        max_streams, max_viewers: as configured.

    Attributes:
        subscribers: that are being answered.
    """

    def __init__(self, *, max_streams: int, max_viewers: int) -> None:
        self._max_unconnected = max(1, max_streams // 2)
        self._max_viewers = max_viewers
        self.subscribers = 0
        self._clients: Counter[str] = Counter()  # addresses of publishers
        self._names: set[str] = set()  # of streams

    @contextlib.contextmanager
    def name(self, name: str) -> Iterator[None]:
        """Keep a stream's name for its publisher.

        Raises:
            Conflict: if it is another's.
        """
        if name in self._names:
            raise has_publisher(name)
        self._names.add(name)
        try:
            yield
        finally:
            self._names.remove(name)

    @contextlib.contextmanager
    def publisher(self, client: str, *, unconnected: int) -> Iterator[None]:
        """Count a publisher under its address.

        Args:
            client: the address; empty: it is not limited.
            unconnected: sessions of that address that have not connected yet.

        Raises:
            TooOften: if too many others of the address have not connected yet: half of the streams,
                so that nobody keeps all of them by offers alone.
        """
        waiting = self._clients[client] + unconnected
        if client and waiting >= self._max_unconnected:
            raise TooOften(
                f"{waiting} calls from {client} have not connected yet, at most "
                f"{self._max_unconnected} may be so; wait until they are, a firewall may block UDP",
                retry_after_s=UNCONNECTED_S,
            )
        self._clients[client] += 1
        try:
            yield
        finally:
            self._clients[client] -= 1
            if not self._clients[client]:
                del self._clients[client]

    @contextlib.contextmanager
    def subscriber(self, *, present: int) -> Iterator[None]:
        """Keep a place for a subscriber.

        Args:
            present: subscribers' sessions.

        Raises:
            Unavailable: if there is none.
        """
        if present + self.subscribers >= self._max_viewers:
            raise subscribers_full(self._max_viewers, retry_after_s=_RETRY_S)
        self.subscribers += 1
        try:
            yield
        finally:
            self.subscribers -= 1


def has_publisher(name: str) -> Conflict:
    """The refusal of a second publisher."""
    return Conflict(
        f"stream {name!r} has a publisher; choose another name, or end that one first (one that "
        "vanishes makes room within a second)"
    )

"""Who carries a stream, and how long it is kept when nobody does. Pure."""

from typing import Generic, TypeVar

from slipstream_protocol.clock import NS_PER_S

PublisherT = TypeVar("PublisherT")


class ResumeWindow(Generic[PublisherT]):
    """A stream's hold on life: carried by one call at a time, the newest, or held for a while.

    Args:
        hold_ns: how long it is kept after its publisher has gone; 0 does not keep it at all.
        now_ns: when the stream was opened; nobody carries it yet.
    """

    def __init__(self, *, hold_ns: int, now_ns: int) -> None:
        if hold_ns < 0:
            raise ValueError(f"hold_ns is {hold_ns}, it must be at least 0")
        self.publisher: PublisherT | None = None
        self._hold_ns = hold_ns
        self._since_ns = now_ns

    def take(self, publisher: PublisherT) -> PublisherT | None:
        """The newest publisher wins; returns the one it has taken the stream from, if any."""
        older, self.publisher = self.publisher, publisher
        return older if older is not publisher else None

    def drop(self, publisher: PublisherT, now_ns: int) -> bool:
        """A publisher has gone; returns whether the stream is without one from now on."""
        if self.publisher is not publisher:
            return False
        self.publisher = None
        self._since_ns = now_ns
        return True

    def held_s(self, now_ns: int) -> float:
        """For how long nobody has carried it."""
        return 0.0 if self.publisher is not None else max(0, now_ns - self._since_ns) / NS_PER_S

    def left_s(self, now_ns: int) -> float | None:
        """How long it is still kept, at least 0; None while somebody carries it."""
        if self.publisher is not None:
            return None
        return max(0, self._since_ns + self._hold_ns - now_ns) / NS_PER_S

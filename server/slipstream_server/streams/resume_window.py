"""Who publishes a stream, and how long the stream is kept when nobody does. Pure."""

from typing import Generic, TypeVar

from slipstream_protocol.clock import NS_PER_S

PublisherT = TypeVar("PublisherT")


class ResumeWindow(Generic[PublisherT]):
    """One publisher at a time, the newest; after it has left, another one may come for a while.

    Args:
        hold_ns: how long after a publisher has left another one may come; 0 keeps nothing.
        now_ns: when the stream was opened; it has no publisher yet.
    """

    def __init__(self, *, hold_ns: int, now_ns: int) -> None:
        if hold_ns < 0:
            raise ValueError(f"hold_ns is {hold_ns}, it must be at least 0")
        self.publisher: PublisherT | None = None
        self._hold_ns = hold_ns
        self._empty_since_ns = now_ns

    def attach(self, publisher: PublisherT) -> PublisherT | None:
        """The newest publisher wins; returns the one it has replaced, if any."""
        older, self.publisher = self.publisher, publisher
        return older if older is not publisher else None

    def detach(self, publisher: PublisherT, now_ns: int) -> bool:
        """A publisher has left; returns whether the stream has none from now on because of it."""
        if self.publisher is not publisher:
            return False
        self.publisher = None
        self._empty_since_ns = now_ns
        return True

    def held_s(self, now_ns: int) -> float:
        """For how long the stream has had no publisher."""
        if self.publisher is not None:
            return 0.0
        return max(0, now_ns - self._empty_since_ns) / NS_PER_S

    def remaining_s(self, now_ns: int) -> float | None:
        """For how long the stream is still kept, at least 0; None while it has a publisher."""
        if self.publisher is not None:
            return None
        return max(0, self._empty_since_ns + self._hold_ns - now_ns) / NS_PER_S

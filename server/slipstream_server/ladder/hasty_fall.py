"""The newest fall that a single chunk was the reason for, and whether it is taken back. Pure.

A chunk that takes far too long says at once that something is wrong, and not what: the device has
become slower, or it stood still for a moment. Which it was the next ones say.
"""

from slipstream_protocol.levels import Level

_CHUNKS = 2  # as fast as before, after which it was a moment


class HastyFall:
    """See the module.

    Attributes:
        before: the level before the fall, while it may be taken back.
    """

    def __init__(self) -> None:
        self.before: Level | None = None
        self._chunks = 0

    def begin(self, before: Level) -> None:
        """A chunk alone has made the stream fall."""
        self.before, self._chunks = before, 0

    def forget(self) -> None:
        """It stays, or the level has become another matter."""
        self.before = None

    def see(self, *, would_hold: bool) -> bool:
        """A chunk has come since; returns whether the fall was made too soon.

        Args:
            would_hold: whether the level before would keep the promise, by what the chunk took.
        """
        if not would_hold:
            self.forget()
        self._chunks += 1
        return self.before is not None and self._chunks >= _CHUNKS

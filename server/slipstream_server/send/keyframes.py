"""When to encode a key frame. Pure.

A viewer that has lost a packet requests a key frame, often several times before one arrives. Each
costs ten times the bytes of another frame, so a request soon after a key frame is delayed. It is
never forgotten, since that key frame may be the one that was lost.
"""

from slipstream_protocol.clock import NS_PER_MS

_SPACING_NS = 400 * NS_PER_MS


class KeyFrameScheduler:
    """Takes requests for key frames, and says whether the next frame is to be one.

    Args:
        spacing_ns: at least this long from one to the next.
        every_ns: at most this long, for viewers that never request one; None for no such bound.
    """

    def __init__(self, *, spacing_ns: int = _SPACING_NS, every_ns: int | None = None) -> None:
        if every_ns is not None and every_ns < spacing_ns:
            raise ValueError(f"every_ns is {every_ns}, it must be at least {spacing_ns}")
        self.requests = 0
        self._spacing_ns = spacing_ns
        self._every_ns = every_ns
        self._is_requested = False
        self._sent_ns: int | None = None

    def request(self) -> None:
        """A viewer cannot go on without one."""
        self.requests += 1
        self._is_requested = True

    def is_due(self, now_ns: int) -> bool:
        """Whether to encode the next frame as a key frame."""
        if self._sent_ns is None:
            return True
        since_ns = now_ns - self._sent_ns
        if self._every_ns is not None and since_ns >= self._every_ns:
            return True
        return self._is_requested and since_ns >= self._spacing_ns

    def on_sent(self, now_ns: int) -> None:
        """A key frame was encoded, requested or not."""
        self._is_requested = False
        self._sent_ns = now_ns

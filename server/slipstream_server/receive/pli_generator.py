"""When to request a key frame (PLI): at once, then twice a second for as long as one is needed.
Pure."""

from slipstream_protocol.clock import NS_PER_MS, NS_PER_S

_PLI_EVERY_NS = 500 * NS_PER_MS
_KEY_WAIT_NS = 3 * NS_PER_S  # some senders make no key frames


class PliGenerator:
    """The requests for key frames of one stream."""

    def __init__(self) -> None:
        self._needed_since_ns: int | None = None
        self._next_request_ns = 0

    def has_given_up(self, now_ns: int) -> bool:
        """Whether a key frame has been needed for so long that none will come."""
        since_ns = self._needed_since_ns
        return since_ns is not None and now_ns - since_ns >= _KEY_WAIT_NS

    def take_due(self, needs_key: bool, now_ns: int) -> bool:
        """Whether to request a key frame now; it then counts as requested.

        Args:
            needs_key: whether only a key frame helps at present.
        """
        if not needs_key:
            self._needed_since_ns = None
            return False
        if self._needed_since_ns is None:
            self._needed_since_ns = now_ns
        if now_ns < self._next_request_ns:
            return False
        self._next_request_ns = now_ns + _PLI_EVERY_NS
        return True

    def due_ns(self) -> int | None:
        """When `take_due` or `has_given_up` will next change; None while no key frame is needed."""
        if self._needed_since_ns is None:
            return None
        return min(self._next_request_ns, self._needed_since_ns + _KEY_WAIT_NS)

"""When a run of signs is believed: after so many, and after so long. Pure."""

from dataclasses import dataclass

from slipstream_protocol.clock import NS_PER_S

_FORGOTTEN_NS = 5 * NS_PER_S  # without a further sign


@dataclass(slots=True, kw_only=True)
class Belief:
    """A run of signs; a clock that goes back begins it anew.

    Args:
        count: signs that it takes.
        time_ns: that must lie between the first and the last of them.
    """

    count: int
    time_ns: int
    _signs: int = 0
    _first_ns: int = 0
    _last_ns: int = 0

    def see(self, now_ns: int) -> None:
        """One more sign."""
        if not self._signs or not 0 <= now_ns - self._last_ns <= _FORGOTTEN_NS:
            self._signs, self._first_ns = 0, now_ns
        self._signs += 1
        self._last_ns = now_ns

    def forget(self) -> None:
        """A sign of the contrary, or a new beginning."""
        self._signs = 0

    def hold_back(self) -> None:
        """Keep the newest sign only: there is a reason to wait."""
        self._signs, self._first_ns = min(self._signs, 1), self._last_ns

    def has_signs(self, now_ns: int) -> bool:
        """Whether there was one of late."""
        return self._signs > 0 and 0 <= now_ns - self._last_ns <= _FORGOTTEN_NS

    @property
    def is_held(self) -> bool:
        """Whether it is believed."""
        return self._signs >= self.count and self._last_ns - self._first_ns >= self.time_ns

"""The climbs of one stream: when the next may be tried, and which one is still a probe. Pure.

A climb that is taken back has failed; the wait for the next one grows with each. One that has held
for a while is forgotten, and so are those that failed before it. However welcome climbs are, they
have a bound in any minute.
"""

from dataclasses import dataclass

from slipstream_protocol.clock import NS_PER_S
from slipstream_protocol.levels import Level

_PROBE_NS = 3 * NS_PER_S
_HOLDS_NS = 120 * NS_PER_S  # a climb that does not hold for so long has failed
_RETRY_NS = 30 * NS_PER_S
_RETRY_GROWTH = 1.5
_RETRY_MAX_NS = 300 * NS_PER_S
_CLIMBS_MAX = 3  # within the time below
_CLIMBS_WITHIN_NS = 60 * NS_PER_S


@dataclass(slots=True)
class _Climb:
    """The newest climb, while it may still fail."""

    at_ns: int
    before: Level


class Climbs:
    """Every time is an argument; one that goes back keeps nobody waiting."""

    def __init__(self) -> None:
        self._newest: _Climb | None = None
        self._begun_ns: list[int] = []
        self._retry_ns = _RETRY_NS
        self._failed_ns: int | None = None

    @property
    def has_failed(self) -> bool:
        """Whether one has of late: the next goes up by one level only."""
        return self._failed_ns is not None

    @property
    def before(self) -> Level | None:
        """The level before the newest climb, while that may still fail."""
        return None if self._newest is None else self._newest.before

    def is_probing(self, now_ns: int) -> bool:
        """Whether the newest has just begun."""
        return self._newest is not None and 0 <= now_ns - self._newest.at_ns < _PROBE_NS

    def may_begin(self, now_ns: int) -> bool:
        """Whether another may be tried."""
        failed_ns = self._failed_ns
        if failed_ns is not None and 0 <= now_ns - failed_ns < self._retry_ns:
            return False
        self._begun_ns = [at for at in self._begun_ns if 0 <= now_ns - at < _CLIMBS_WITHIN_NS]
        return len(self._begun_ns) < _CLIMBS_MAX

    def begin(self, before: Level, now_ns: int) -> None:
        """One begins at this level."""
        self._newest = _Climb(now_ns, before)
        self._begun_ns.append(now_ns)

    def pass_time(self, now_ns: int) -> None:
        """One that has held for long enough has succeeded."""
        if self._newest is not None and now_ns - self._newest.at_ns >= _HOLDS_NS:
            self._newest, self._failed_ns, self._retry_ns = None, None, _RETRY_NS

    def fail(self, now_ns: int) -> None:
        """The newest is taken back."""
        self._newest, self._failed_ns = None, now_ns
        self._retry_ns = min(round(self._retry_ns * _RETRY_GROWTH), _RETRY_MAX_NS)

    def forget_newest(self) -> None:
        """Its level is no longer where the stream would go back to."""
        self._newest = None

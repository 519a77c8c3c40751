"""Callers who wait for a place, first come, first served. Pure: times are arguments.

Nobody is called: a caller asks again and again, and whoever has not for a while has left. So a
place that becomes free is had by the first in the line when it asks next, and by nobody before it.
"""

from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitingCaller:
    """One that waits.

    Args:
        key: tells callers apart.
        client: its address; empty: it is not limited.
        silence_ns: it has left when it has not asked for so long.
    """

    key: str
    client: str = ""
    silence_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Entry:
    caller: WaitingCaller
    joined_ns: int
    asked_ns: int


class WaitingLine:
    """The line.

    Leavings are counted by cause: `admitted`, `silent`, `impatient` (it has waited for as long as
    anyone may), and `full`: there was no room to join.

    Args:
        places: how many may wait; half of them, at least one, from one address.
        patience_ns: how long anyone may wait.

    Raises:
        ValueError: if `places` is below 0 or `patience_ns` below 1.
    """

    def __init__(self, *, places: int, patience_ns: int) -> None:
        if places < 0:
            raise ValueError(f"places is {places}, it must be at least 0")
        if patience_ns < 1:
            raise ValueError(f"patience_ns is {patience_ns}, it must be at least 1")
        self._places = places
        self._patience_ns = patience_ns
        self._entries: dict[str, _Entry] = {}  # in the order of the line
        self.leavings = dict.fromkeys(("admitted", "silent", "impatient", "full"), 0)

    def __len__(self) -> int:
        return len(self._entries)

    def is_known(self, key: str) -> bool:
        """Whether this caller waits."""
        return key in self._entries

    def refresh(self, now_ns: int) -> None:
        """Let those go who have not asked for too long, or have waited for too long."""
        for key, entry in list(self._entries.items()):
            if now_ns - entry.asked_ns > entry.caller.silence_ns:
                self._leave(key, "silent")
            elif now_ns - entry.joined_ns > self._patience_ns:
                self._leave(key, "impatient")

    def is_next(self, key: str) -> bool:
        """Whether nobody waits before this caller, who may be new."""
        return next(iter(self._entries), key) == key

    def ask(self, caller: WaitingCaller, now_ns: int) -> int | None:
        """The caller waits, from now on or still.

        Returns:
            its place, 1 being the next; None where there is none for it.
        """
        entry = self._entries.get(caller.key)
        if entry is None:
            if not self._has_room(caller.client):
                self.leavings["full"] += 1
                return None
            entry = _Entry(caller=caller, joined_ns=now_ns, asked_ns=now_ns)
        asked_ns = max(now_ns, entry.asked_ns)  # of a clock that has gone back
        self._entries[caller.key] = replace(entry, asked_ns=asked_ns)
        return list(self._entries).index(caller.key) + 1

    def admit(self, key: str) -> None:
        """The caller has its place."""
        if key in self._entries:
            self._leave(key, "admitted")

    def _has_room(self, client: str) -> bool:
        if len(self._entries) >= self._places:
            return False
        theirs = sum(entry.caller.client == client for entry in self._entries.values())
        return not client or theirs < max(1, self._places // 2)

    def _leave(self, key: str, cause: str) -> None:
        del self._entries[key]
        self.leavings[cause] += 1

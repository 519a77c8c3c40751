"""Who shares a device: what each stream takes, who is held for the others, who comes back. Pure.

Where a stream's promise is broken, no lower level would help it and the device is full, the newest
stream is held. A stream that is late for another reason, such as its link, costs nobody else. Held
ones come back the oldest first, when what they would take fits and nobody has been in trouble for a
while; one that has to be held again waits longer each time.
"""

from dataclasses import dataclass

from slipstream_protocol.clock import NS_PER_S

from slipstream_server.ladder.promise import Others

_SILENT_NS = 5 * NS_PER_S  # without a chunk, as while paused, a stream takes nothing
_STUCK_NS = 5 * NS_PER_S  # for so long, before anybody is held
_FULL_LOAD = 0.9
_SETTLE_NS = 3 * NS_PER_S // 2
_CALM_NS = 10 * NS_PER_S
_RETURN_NEED = 0.7
_RETURN_NS = 20 * NS_PER_S
_RETURN_GROWTH = 1.5
_RETURN_MAX_NS = 600 * NS_PER_S


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """What a stream says of itself with each chunk.

    Args:
        load: share of the device that it takes.
        need: that it needs for what it promises.
        least_need: that it would need at its lowest level.
        is_in_trouble, is_probing, is_stuck, can_fall: see `Ladder`.
        may_be_held: whether its levels allow that.
    """

    load: float
    need: float
    least_need: float
    is_in_trouble: bool
    is_probing: bool
    is_stuck: bool
    can_fall: bool
    may_be_held: bool


@dataclass(slots=True)
class _Member:
    """A stream; the order of joining is that of the dict."""

    share: Share | None = None
    at_ns: int = 0
    fell_ns: int | None = None
    stuck_from_ns: int | None = None
    held_from_ns: int | None = None
    wait_ns: int = _RETURN_NS

    def is_active(self, now_ns: int) -> bool:
        is_recent = 0 <= now_ns - self.at_ns <= _SILENT_NS
        return self.share is not None and self.held_from_ns is None and is_recent


class DeviceShare:
    """All streams on a device; every time is an argument."""

    def __init__(self) -> None:
        self._members: dict[str, _Member] = {}
        self._troubled_ns: int | None = None  # the newest time
        self._held_ns: int | None = None  # when a stream was held, the newest time

    def join(self, stream: str) -> None:
        """A stream begins; it is the newest."""
        self._members[stream] = _Member()

    def leave(self, stream: str) -> None:
        """It has ended; one that has not joined may leave too."""
        self._members.pop(stream, None)

    def report(self, stream: str, share: Share, now_ns: int) -> None:
        """What a stream that has joined takes, and how it fares."""
        member = self._members[stream]
        member.share, member.at_ns = share, now_ns
        if not share.is_stuck:
            member.stuck_from_ns = None
        elif member.stuck_from_ns is None or member.stuck_from_ns > now_ns:
            member.stuck_from_ns = now_ns
        if share.is_in_trouble or share.is_stuck:
            self._troubled_ns = now_ns

    def note_fall(self, stream: str, now_ns: int) -> None:
        """A stream has gone to a lower level."""
        self._members[stream].fell_ns = now_ns

    def others(self, stream: str, now_ns: int) -> Others:
        """What the streams beside this one take, and how they fare."""
        members = [one for name, one in self._members.items() if name != stream]
        shares = [one.share for one in members if one.is_active(now_ns) and one.share is not None]
        return Others(
            load=sum(share.load for share in shares),
            need=sum(share.need for share in shares),
            are_in_trouble=any(share.is_in_trouble for share in shares),
            are_probing=any(share.is_probing for share in shares),
            heaviest=max(
                (one.load for one in shares if one.is_in_trouble and one.can_fall), default=0
            ),
            are_settling=any(
                one.fell_ns is not None and 0 <= now_ns - one.fell_ns < _SETTLE_NS
                for one in members
            ),
        )

    def take_hold(self, stream: str, now_ns: int) -> bool:
        """Whether this stream is to be held, since an older one is stuck, or it is itself; it
        counts as held from then on."""
        active = [name for name, one in self._members.items() if one.is_active(now_ns)]
        if len(active) < 2 or active[-1] != stream or not self._is_one_stuck(now_ns):
            return False
        member = self._members[stream]
        if member.share is None or not member.share.may_be_held:
            return False
        member.held_from_ns = self._held_ns = now_ns
        for other in self._members.values():
            other.stuck_from_ns = None
        return True

    def take_return(self, stream: str, now_ns: int) -> bool:
        """Whether this stream, which is held, may come back; it counts as back from then on."""
        member = self._members[stream]
        since_ns = member.held_from_ns
        oldest = next((one for one in self._members.values() if one.held_from_ns is not None), None)
        if since_ns is None or member is not oldest:
            return False
        is_alone = not any(one.is_active(now_ns) for one in self._members.values())
        if not is_alone and not self._has_room(member, now_ns):
            return False
        member.held_from_ns = None
        member.wait_ns = min(round(member.wait_ns * _RETURN_GROWTH), _RETURN_MAX_NS)
        return True

    def _has_room(self, member: _Member, now_ns: int) -> bool:
        """What the active ones say of the lowest level holds for it too, and is of now."""
        since_ns, troubled_ns = member.held_from_ns, self._troubled_ns
        has_waited = since_ns is not None and now_ns - since_ns >= member.wait_ns
        is_calm = troubled_ns is None or not 0 <= now_ns - troubled_ns < _CALM_NS
        active = [one.share for one in self._members.values() if one.is_active(now_ns)]
        least_need = max(share.least_need for share in active if share is not None)
        need = self.others("", now_ns).need + least_need
        return has_waited and is_calm and need <= _RETURN_NEED

    def _is_one_stuck(self, now_ns: int) -> bool:
        active = [one for one in self._members.values() if one.is_active(now_ns)]
        shares = [one.share for one in active if one.share is not None]
        if any(one.is_in_trouble and one.can_fall and not one.is_stuck for one in shares):
            return False
        is_full = sum(share.load for share in shares) >= _FULL_LOAD
        return is_full and any(
            one.stuck_from_ns is not None and now_ns - one.stuck_from_ns >= _STUCK_NS
            for one in active
        )

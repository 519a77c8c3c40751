"""The data channel: JSON in, typed updates to the engine, typed answers out. Pure.

Texts and times come in, events go out through the callables. At most one update is with the
engine; what comes meanwhile is merged key by key, the last value winning, and an update of which
nothing is left is answered `superseded`. Where the engine refuses a merger, its parts are tried one
by one: a bad update takes no good one along. The engine sees numbers of our own, so that a viewer
may number as it likes, or not at all.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import msgspec
from msgspec import UNSET
from slipstream_protocol.clock import NS_PER_MS, NS_PER_S
from slipstream_protocol.messages import Applied, UpdateRefused
from slipstream_protocol.parameters import Parameters

from slipstream_server.control.events import (
    Ack,
    AckStatus,
    AppliedRev,
    Event,
    FirstShown,
    OnAir,
    ParametersUpdated,
    Ping,
    Pong,
)
from slipstream_server.control.incoming import parse, rev_of
from slipstream_server.observability.client_stats import ClientStats

STATS_EVERY_NS = NS_PER_S // 2  # once a second is asked for; timers are not exact
RATE_PER_S = 100
BURST = 200

_ON_AIR = 256  # updates whose first frame is waited for; while paused, it may be long
_PROMPT_KEYS = frozenset({"prompt", "prompts", "transition"})
_ONCE_KEYS = ("rev", "reset_cache")


@dataclass(slots=True)
class _Change:
    """An update on its way; `keys` are those no later one has overwritten, `tell` hears of it."""

    update: Parameters
    keys: set[str]
    tell: Callable[[Event], None]

    @property
    def rev(self) -> int | None:
        """The viewer's number for it."""
        return None if self.update.rev is UNSET else self.update.rev

    def ack(self, status: AckStatus, *errors: str) -> None:
        self.tell(Ack(rev=self.rev, status=status, errors=errors))

    def left(self) -> Parameters:
        """What of it no later one has overwritten."""
        gone = {
            name: UNSET
            for name in self.update.__struct_fields__
            if ("prompts" if name in _PROMPT_KEYS else name) not in self.keys
        }
        return msgspec.structs.replace(self.update, **gone)


class Control:
    """One viewer's parameters, from its messages to their effect.

    Args:
        current: the parameters the stream has started with.
        understood: what the model made of its prompts, for people.
        apply: sends an update to the engine.
        tell: sends an event to the viewer.
        shown: called when the page says that the first picture is on its screen, with the time on
            our clock if it says that too, and with the present.
        viewed: is given what the page's browser says of the picture, and the present.
    """

    def __init__(
        self,
        *,
        current: Parameters,
        understood: str = "",
        apply: Callable[[Parameters], None],
        tell: Callable[[Event], None],
        shown: Callable[[int | None, int], None],
        viewed: Callable[[ClientStats, int], None],
    ) -> None:
        self.current = current
        self.understood = understood
        self.pinged = False
        self._apply = apply
        self._tell = tell
        self._shown = shown
        self._viewed = viewed
        self._viewed_ns: int | None = None
        self._number = 0
        self._sent: tuple[Parameters, list[_Change]] | None = None
        self._apart: deque[_Change] = deque()  # of a merger that was refused
        self._waiting: tuple[Parameters, list[_Change]] | None = None
        self._on_air: deque[tuple[int, _Change]] = deque(maxlen=_ON_AIR)  # by our number
        self._credit = float(BURST)
        self._credited_ns: int | None = None
        self._limited = False
        self._has_engine = True

    def receive(self, raw: str | bytes, now_ns: int) -> None:
        """Answer one message of the page."""
        if not self._has_credit(now_ns):
            return
        try:
            message = parse(raw)
        except ValueError as error:
            self._reject(rev_of(raw), str(error))
            return
        match message:
            case Ping(t=t):
                self.pinged = True
                self._tell(Pong(t=t, server_ns=now_ns))
            case FirstShown(server_ms=shown_ms):
                self._shown(None if shown_ms is None else round(shown_ms * NS_PER_MS), now_ns)
            case ClientStats():
                self._view(message, now_ns)
            case Parameters():
                self._update(message, self._tell)

    def update(self, update: Parameters, now_ns: int, tell: Callable[[Event], None]) -> bool:
        """Take an update from elsewhere, answered by `tell`; False if there are too many."""
        if not self._has_credit(now_ns):
            return False
        self._update(update, tell)
        return True

    def applied(self, applied: Applied) -> None:
        """The engine has taken over the update that was with it."""
        if self._sent is None:
            return
        (parameters, changes), self._sent = self._sent, None
        self.current = settled(self.current.merged(parameters))
        self.understood = applied.understood
        for change in changes:
            if change.rev is not None:
                change.tell(AppliedRev(rev=change.rev, chunk=applied.chunk))
                self._on_air.append((applied.rev, change))
        self._tell(ParametersUpdated(parameters=self.current, understood=self.understood))
        self._send_waiting()

    def refused(self, refused: UpdateRefused) -> None:
        """The engine cannot do what the update that was with it asks for."""
        if self._sent is None:
            return
        (_, changes), self._sent = self._sent, None
        if len(changes) > 1:
            self._apart.extend(changes)
        else:
            changes[0].ack("rejected", refused.reason)
        self._send_waiting()

    def engine_lost(self) -> None:
        """What was with the engine has gone down with it, and is sent again to the next one."""
        self._has_engine = False
        if self._sent is not None:
            (_, changes), self._sent = self._sent, None
            self._apart.extendleft(reversed(changes))

    def engine_found(self, *, understood: str) -> None:
        """A new engine has opened the stream with `current`: all that was applied is in force.

        Args:
            understood: what it made of the prompts.
        """
        self._has_engine = True
        self.understood = understood
        self._on_air = deque(((-1, change) for _, change in self._on_air), maxlen=_ON_AIR)
        self._send_waiting()

    def sent(self, *, rev: int, chunk: int, rtp_timestamp: int) -> None:
        """A frame made with update `rev` (our number) has been sent."""
        while self._on_air and self._on_air[0][0] <= rev:
            _, change = self._on_air.popleft()
            if change.rev is not None:
                change.tell(OnAir(rev=change.rev, chunk=chunk, rtp_timestamp=rtp_timestamp))

    def _view(self, stats: ClientStats, now_ns: int) -> None:
        if self._viewed_ns is not None and now_ns - self._viewed_ns < STATS_EVERY_NS:
            since_ms = (now_ns - self._viewed_ns) // NS_PER_MS
            self._reject(
                None, f"client_stats came {since_ms} ms after the last, send them once a second"
            )
            return
        self._viewed_ns = now_ns
        self._viewed(stats, now_ns)

    def _update(self, update: Parameters, tell: Callable[[Event], None]) -> None:
        keys = _keys(update)
        new = _Change(update, keys, tell)
        if not keys:
            new.ack("rejected", "the update names no parameter, send at least one")
            return
        new.ack("accepted")
        if self._waiting is None:
            self._waiting = update, [new]
        else:
            waiting, changes = self._waiting
            for change in changes:
                change.keys -= keys
                if not change.keys and change.rev is not None:
                    change.ack("superseded")
            left = [change for change in changes if change.keys]
            self._waiting = waiting.merged(update), [*left, new]
        self._send_waiting()

    def _send_waiting(self) -> None:
        if self._sent is not None or not self._has_engine:
            return
        if self._apart:
            change = self._apart.popleft()
            self._sent = change.left(), [change]
        elif self._waiting is not None:
            self._sent, self._waiting = self._waiting, None
        else:
            return
        parameters, _ = self._sent
        self._apply(msgspec.structs.replace(parameters, rev=self._number))
        self._number += 1

    def _reject(self, rev: int | None, reason: str) -> None:
        self._tell(Ack(rev=rev, status="rejected", errors=(reason,)))

    def _has_credit(self, now_ns: int) -> bool:
        """Let `RATE_PER_S` messages a second pass, `BURST` at once; say so once when it is more."""
        if self._credited_ns is not None:
            earned = (now_ns - self._credited_ns) * RATE_PER_S / NS_PER_S
            self._credit = min(float(BURST), self._credit + earned)
        self._credited_ns = now_ns
        if self._credit < 1:
            if not self._limited:
                self._limited = True
                self._reject(None, f"more than {RATE_PER_S} messages a second, send fewer")
            return False
        self._credit -= 1
        self._limited = self._limited and self._credit < BURST / 2
        return True


def settled(parameters: Parameters) -> Parameters:
    """What is in force once an update has taken effect, without what works only once."""
    target = parameters.target
    without = dict.fromkeys((*_ONCE_KEYS, *_PROMPT_KEYS), UNSET)
    return msgspec.structs.replace(parameters, **(without | {"prompts": target}))


def _keys(update: Parameters) -> set[str]:
    """The names an update changes; the three ways to name prompts count as one."""
    named = {name for name in update.__struct_fields__ if getattr(update, name) is not UNSET}
    return {"prompts" if name in _PROMPT_KEYS else name for name in named - {"rev"}}

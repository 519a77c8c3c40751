"""One stream's level: it falls before its promise breaks, and climbs while that holds. Pure.

Between a bad and a good sign lies a gap in which nothing changes. Signs are believed after a number
and a time, those to climb later than those to fall; one is enough where a chunk alone takes the
device twice the time promised, and where the next ones say that it was disturbed for a moment only,
the stream is back at once, unless it has climbed of late. Where it falls to is the best level that
keeps the promise by what chunks took; it does not fall where that would help nothing. A climb is a
probe: until it has held for a while it is taken back at fewer signs, and each that fails makes the
next wait longer. Its pictures are shown: a chunk more that nobody sees would keep the device from
the stream's next one, at the moment that it has little to spare. Levels above the viewer's own
steps and below the floor are never taken.
"""

from slipstream_protocol.clock import NS_PER_MS, NS_PER_S
from slipstream_protocol.levels import Level, Levels

from slipstream_server.ladder.belief import Belief
from slipstream_server.ladder.climbs import Climbs
from slipstream_server.ladder.hasty_fall import HastyFall
from slipstream_server.ladder.moves import Move, MoveCause, Question
from slipstream_server.ladder.promise import (
    Others,
    Outlook,
    Reading,
    ViewerPromise,
    outlook_at,
    outlook_now,
    own_need,
)

_BAD_AGE = 0.8  # of the age promised
_GOOD_AGE = 0.65
_BROKEN_RATE = 2.0  # most of the pictures promised do not come: as bad as coming too late
_SURE_RATE = 1.7  # of the same, by what a chunk alone takes: one is enough
_FULL_NEED = 0.85  # of the device, that a climb may lead to
_HEAVIEST = 0.9  # of the heaviest stream's share: a lighter one lets that go down first
_HELP = 0.95  # a fall must lower the strain to so much of what it is
ANSWER_WITHIN_NS = 10 * NS_PER_S


class Ladder:
    """The level of one stream; every time is an argument.

    Args:
        levels: of the server, or of the model.
        floor: no level below it is taken; None for all of them.
        promise: of the stream.
        steps: that the stream starts with.
        is_own: whether they are a viewer's own choice.
        size_px: scale that the stream starts with, where that is not the largest: it climbs from
            there, unless its steps are a viewer's own.
    """

    def __init__(
        self,
        levels: Levels,
        *,
        floor: Level | None,
        promise: ViewerPromise,
        steps: int,
        is_own: bool,
        size_px: int = 0,
    ) -> None:
        self._levels = levels
        self._floor = floor
        self._promise = promise
        self._bad = Belief(count=3, time_ns=600 * NS_PER_MS)
        self._broken = Belief(count=2, time_ns=250 * NS_PER_MS)
        self._good = Belief(count=8, time_ns=4 * NS_PER_S)
        self._climbs = Climbs()
        self._hasty = HastyFall()
        self._asked_ns: int | None = None
        self._is_kept = False
        self._now_ns = 0
        self.is_stuck = False  # its promise is broken, and no lower level would help
        self._level = Level(steps=steps)
        self._own: tuple[Level, ...] = (self._level,)
        self.choose(steps, is_own=is_own)
        if size_px and not is_own:
            smaller = (level for level in self._own if 0 < level.size_px <= size_px)
            self._level = next(smaller, self._level)

    @property
    def level(self) -> Level:
        """That the stream is generated at."""
        return self._level

    @property
    def top(self) -> Level:
        """The viewer's own, or the model's."""
        return self._own[0]

    @property
    def lowest(self) -> Level:
        """The floor, or the lowest level there is."""
        return self._own[-1]

    def is_in_trouble(self, now_ns: int) -> bool:
        """Whether the newest signs are of a promise that breaks: no other stream is to climb."""
        return self._bad.has_signs(now_ns)

    @property
    def can_fall(self) -> bool:
        """Whether there is a lower level, and the viewer has not forbidden it."""
        return self._level != self.lowest and not self._is_kept

    def is_probing(self, now_ns: int) -> bool:
        """Whether a climb is still a probe."""
        return self._climbs.is_probing(now_ns)

    def choose(self, steps: int, *, is_own: bool) -> None:
        """The steps of its top. A stream that was at its top stays there; one that has fallen stays
        where it is, so that nobody wins by choosing anew."""
        was_at_top = self._level == self._own[0]
        own = self._levels.below(Level(steps=steps))
        floor = self._floor
        allowed = [level for level in own[1:] if floor is None or not floor.costs_more_than(level)]
        self._own = (own[0], *allowed)
        if not self._level.is_held and (was_at_top or self._level not in self._own):
            self._level = own[0]
        self._is_own = is_own
        self._is_kept = False
        self._asked_ns = None
        self._climbs.forget_newest()
        self._hasty.forget()

    def answer(self, *, keep: bool) -> None:
        """The viewer's answer to a question; one that was not asked is ignored."""
        if self._asked_ns is not None:
            self._is_kept = keep
            self._asked_ns = None if keep else self._now_ns - ANSWER_WITHIN_NS

    def observe(self, reading: Reading, others: Others, now_ns: int) -> Move | Question | None:
        """Take in what the newest chunks say; the change that follows, already made, or a question.

        A reading of a costlier level is ignored: its chunk was begun before the newest change.
        """
        self._now_ns = now_ns
        if self._level.is_held or reading.level.costs_more_than(self._level):
            return None
        now = outlook_now(reading, self._promise, others)
        higher = self._higher(reading, others)
        self._see(now, now_ns, can_climb=higher is not None)
        is_first = reading.load >= _HEAVIEST * others.heaviest
        before = self._hasty.before
        if before is not None and self._hasty.see(would_hold=self._holds(reading, before, others)):
            return self._try_climb(reading, before, others, MoveCause.STALL)
        is_hasty = self._is_sure_to_break(reading)
        is_broken = self._broken.is_held or is_hasty
        if (others.are_settling or not is_first) and not is_broken:
            self._bad.hold_back()
        if is_broken or self._bad.is_held:
            is_hasty &= not self._broken.is_held and self._climbs.before is None
            here = self._level
            decision = self._fall(reading, now, others, is_broken=is_broken)
            if is_hasty and self._level != here:
                self._hasty.begin(here)
            return decision
        self.is_stuck = False
        if self._good.is_held and higher is not None:
            return self._try_climb(reading, higher, others, MoveCause.ROOM)
        return None

    def hold(self) -> Move:
        """Generate nothing, for the sake of older streams."""
        self._climbs.forget_newest()
        return self._go(Level(), MoveCause.OTHERS, None)

    def release(self) -> Move:
        """Generate again, at the lowest level first."""
        return self._go(self.lowest, MoveCause.RETURN, None)

    def _is_sure_to_break(self, reading: Reading) -> bool:
        """Whether a chunk takes so long, with nothing beside, that one more would be a loss. Steps
        of a viewer's own are not taken away for one."""
        need = own_need(reading, reading.level, self._promise)
        return need > _SURE_RATE and not self._is_own

    def _see(self, now: Outlook, now_ns: int, *, can_climb: bool) -> None:
        if now.age > 1 or now.rate > _BROKEN_RATE:
            self._broken.see(now_ns)
        if now.age > _BAD_AGE or now.rate > 1:
            self._bad.see(now_ns)
        elif can_climb or now.age <= _GOOD_AGE:
            self._asked_ns = None
            self._bad.forget()
            self._broken.forget()
        if can_climb and not self._bad.has_signs(now_ns):
            self._good.see(now_ns)
        else:
            self._good.forget()
        self._climbs.pass_time(now_ns)

    # ---- down

    def _fall(
        self, reading: Reading, now: Outlook, others: Others, *, is_broken: bool
    ) -> Move | Question | None:
        slower = is_broken or others.are_in_trouble or now.age > _BAD_AGE
        after = self._lower(reading, now, others, may_be_slower=slower)
        cause = MoveCause.AGE
        if now.rate > now.age:
            cause = MoveCause.RATE
        before_climb = self._climbs.before
        if before_climb is not None:
            self._climbs.fail(self._now_ns)
            cause = MoveCause.RELAPSE
            if after is None or after.costs_more_than(before_climb):
                after = before_climb
        if after is None:
            self.is_stuck = is_broken
            return None
        if after.steps < self._level.steps and self._is_own and not is_broken and not before_climb:
            return self._ask(self._move(after, cause, reading))
        return self._go(after, cause, reading)

    def _lower(
        self, reading: Reading, now: Outlook, others: Others, *, may_be_slower: bool
    ) -> Level | None:
        """The best lower level that keeps the promise, else the one that comes nearest to it. A
        lower frame rate makes pictures younger and leaves more to others, but no more of them."""
        best, least = None, now.strain * _HELP
        for level in self._own[self._own.index(self._level) + 1 :]:
            if level.fps and not may_be_slower:
                break
            then = outlook_at(reading, level, self._promise, others)
            if then.age <= _GOOD_AGE and then.rate <= 1:
                return level
            if then.strain < least:
                best, least = level, then.strain
        return best

    def _ask(self, move: Move) -> Move | Question | None:
        if self._is_kept:
            return None
        if self._asked_ns is None:
            self._asked_ns = self._now_ns
            return Question(move=move, within_ns=ANSWER_WITHIN_NS)
        if 0 <= self._now_ns - self._asked_ns < ANSWER_WITHIN_NS:
            return None
        return self._go(move.after, move.cause, move.reading)

    # ---- up

    def _higher(self, reading: Reading, others: Others) -> Level | None:
        """The best level above that is foreseen to hold; the next one only, after a failure."""
        here = self._own.index(self._level)
        first = max(0, here - 1) if self._climbs.has_failed else 0
        for level in self._own[first:here]:
            if self._holds(reading, level, others, most_need=_FULL_NEED):
                return level
        return None

    def _holds(
        self, reading: Reading, level: Level, others: Others, *, most_need: float = 1.0
    ) -> bool:
        """Whether a level is foreseen to hold, all streams needing that share of the device."""
        then = outlook_at(reading, level, self._promise, others)
        return then.age <= _GOOD_AGE and then.rate <= 1 and then.need <= most_need

    def _try_climb(
        self, reading: Reading, higher: Level, others: Others, cause: MoveCause
    ) -> Move | None:
        if others.are_in_trouble or others.are_probing or not self._climbs.may_begin(self._now_ns):
            return None
        before = self._level
        move = self._go(higher, cause, reading)
        self._climbs.begin(before, self._now_ns)
        return move

    # ---- both

    def _move(self, after: Level, cause: MoveCause, reading: Reading | None) -> Move:
        return Move(
            before=self._level,
            after=after,
            cause=cause,
            reading=reading,
            chunk_frames=self._promise.chunk_frames,
        )

    def _go(self, after: Level, cause: MoveCause, reading: Reading | None) -> Move:
        move = self._move(after, cause, reading)
        self._level = after
        self._hasty.forget()
        self._start_anew()
        return move

    def _start_anew(self) -> None:
        for belief in (self._bad, self._broken, self._good):
            belief.forget()
        self._asked_ns = None
        self.is_stuck = False

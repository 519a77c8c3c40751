"""How much of what the service levels allow to go wrong is used up. Pure: times are arguments.

A level of 99 % allows one event of a hundred to be bad: that is its error budget. The burn rate is
how fast it is used: at 1 the budget of a window lasts just that window, at 14 the budget of an hour
is gone in four minutes. Source: Beyer et al., The Site Reliability Workbook, chapter 5.
"""

import math
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from slipstream_protocol.clock import NS_PER_S

_BUCKET_NS = 10 * NS_PER_S
SHORT_WINDOW_NS = 300 * NS_PER_S
LONG_WINDOW_NS = 3600 * NS_PER_S


class ServiceLevel(StrEnum):
    """What is measured, and what an event of it is."""

    TTFF = "ttff"  # a first frame, of a new call or of one that comes back
    AGE = "age"  # a frame sent
    MISS = "miss"  # a chunk
    RATE = "rate"  # a frame that is due


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """Events; frames that a model cannot make by half count as half."""

    good: float = 0.0
    bad: float = 0.0

    @property
    def total(self) -> float:
        return self.good + self.bad

    def __add__(self, other: "Tally") -> "Tally":
        return Tally(good=self.good + other.good, bad=self.bad + other.bad)


Tallies = Mapping[ServiceLevel, Tally]


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetReport:
    """One level's budget.

    Args:
        ever: all its events.
        burn_short, burn_long: over five minutes and over an hour; None without events there.
        left: share of the hour's budget, below 0 where more has gone wrong; None without events.
    """

    ever: Tally
    burn_short: float | None
    burn_long: float | None
    left: float | None


class ErrorBudget:
    """The budget of one level.

    Args:
        objective: share of the events that must be good.

    Raises:
        ValueError: if it is not a share.
    """

    def __init__(self, objective: float) -> None:
        if not 0 <= objective <= 1:
            raise ValueError(f"objective is {objective}, it must be between 0 and 1")
        self._allowed = 1 - objective
        self._ever = Tally()
        self._buckets: deque[tuple[int, Tally]] = deque()  # when each begins
        self._latest_ns: int | None = None

    def add(self, tally: Tally, now_ns: int) -> None:
        """Count events; a clock that goes back stands still until it has caught up.

        Raises:
            ValueError: if a count is below 0 or no number.
        """
        if not (tally.good >= 0 and tally.bad >= 0 and math.isfinite(tally.total)):
            raise ValueError(f"{tally}, counts must be at least 0")
        if not tally.total:
            return
        now_ns = self._advance(now_ns)
        begins_ns = now_ns - now_ns % _BUCKET_NS
        self._ever += tally
        if self._buckets and self._buckets[-1][0] == begins_ns:
            tally += self._buckets.pop()[1]
        self._buckets.append((begins_ns, tally))

    def report(self, now_ns: int) -> BudgetReport:
        """The budget now."""
        now_ns = self._advance(now_ns)
        burn_long = self._burn(self._over(LONG_WINDOW_NS, now_ns))
        return BudgetReport(
            ever=self._ever,
            burn_short=self._burn(self._over(SHORT_WINDOW_NS, now_ns)),
            burn_long=burn_long,
            left=None if burn_long is None else 1 - burn_long,
        )

    def _advance(self, now_ns: int) -> int:
        now_ns = now_ns if self._latest_ns is None else max(now_ns, self._latest_ns)
        self._latest_ns = now_ns
        while self._buckets and self._buckets[0][0] <= now_ns - LONG_WINDOW_NS:
            self._buckets.popleft()
        return now_ns

    def _over(self, window_ns: int, now_ns: int) -> Tally:
        recent = (tally for begins_ns, tally in self._buckets if begins_ns > now_ns - window_ns)
        return sum(recent, Tally())

    def _burn(self, tally: Tally) -> float | None:
        if not tally.total:
            return None
        if not tally.bad:
            return 0.0
        return tally.bad / tally.total / self._allowed if self._allowed else math.inf


class ErrorBudgets:
    """One budget for each level, of a stream or of the whole server.

    Args:
        objectives: shares of the events that must be good.
    """

    def __init__(self, objectives: Mapping[ServiceLevel, float]) -> None:
        self._budgets = {level: ErrorBudget(objectives[level]) for level in ServiceLevel}

    def add(self, tallies: Tallies, now_ns: int) -> None:
        """Count events of any levels."""
        for level, tally in tallies.items():
            self._budgets[level].add(tally, now_ns)

    def report(self, now_ns: int) -> Mapping[ServiceLevel, BudgetReport]:
        """All budgets now."""
        return {level: budget.report(now_ns) for level, budget in self._budgets.items()}

"""What a check is and what it finds.

Only the standard library is imported, as the packages may be broken.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """The outcome of a check, with advice unless all is well.

    Raises:
        ValueError: if a finding that is not ok gives no advice.
    """

    verdict: Verdict
    found: str
    advice: str = ""

    def __post_init__(self) -> None:
        if self.verdict is not Verdict.OK and not self.advice:
            raise ValueError(f"finding {self.found!r} is {self.verdict}, it must give advice")


def ok(found: str) -> Finding:
    """Nothing is wrong."""
    return Finding(verdict=Verdict.OK, found=found)


def warn(found: str, advice: str) -> Finding:
    """It works, or may, with a drawback."""
    return Finding(verdict=Verdict.WARN, found=found, advice=advice)


def fail(found: str, advice: str) -> Finding:
    """It will not work."""
    return Finding(verdict=Verdict.FAIL, found=found, advice=advice)


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """A check that can be run.

    Args:
        name: printed before the finding.
        run: makes the finding; an exception counts as a failure.
        deadline_s: how long it may take.
        late: the advice where it takes longer.
    """

    name: str
    run: Callable[[], Awaitable[Finding]]
    deadline_s: float
    late: str = "see what keeps it: a full machine, or a firewall that drops instead of refusing"

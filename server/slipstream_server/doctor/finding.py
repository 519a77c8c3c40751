"""What a check found. Needs the standard library only: it must work where little else does."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What was found, and, unless all is well, what to do.

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
    """All is well."""
    return Finding(verdict=Verdict.OK, found=found)


def warn(found: str, advice: str) -> Finding:
    """It works, or may; something will be missed."""
    return Finding(verdict=Verdict.WARN, found=found, advice=advice)


def fail(found: str, advice: str) -> Finding:
    """It will not work."""
    return Finding(verdict=Verdict.FAIL, found=found, advice=advice)


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One question and who answers it.

    Args:
        name: stands before what is found.
        run: answers; may raise whatever it likes.
        deadline_s: by when it must have answered.
        late: what to do where it has not.
    """

    name: str
    run: Callable[[], Awaitable[Finding]]
    deadline_s: float
    late: str = "see what keeps it: a full machine, or a firewall that drops instead of refusing"

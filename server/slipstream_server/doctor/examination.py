"""Runs checks one after the other, each within its deadline, and says what they found."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass

from slipstream_server.doctor.finding import Check, Finding, Verdict, fail

_NAME_WIDTH = 14
_INDENT = " " * 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Examined:
    """A finding, whose it is, and how long it took."""

    check: str
    finding: Finding
    took_ms: float

    def lines(self) -> str:
        """For people."""
        finding = self.finding
        text = f"{finding.verdict:<5} {self.check:<{_NAME_WIDTH}} {finding.found}"
        return (
            f"{text}\n{_INDENT}{'':<{_NAME_WIDTH}} -> {finding.advice}" if finding.advice else text
        )


async def run_checks(checks: Iterable[Check]) -> AsyncIterator[Examined]:
    """What each check finds, as soon as it has; a check that breaks or is late has failed."""
    for check in checks:
        began_s = time.monotonic()
        try:
            async with asyncio.timeout(check.deadline_s):
                finding = await check.run()
        except TimeoutError:
            finding = fail(f"no answer within {check.deadline_s:g} s", check.late)
        except Exception as error:  # one broken check must not hide what the others find
            finding = fail(
                f"the check itself broke: {type(error).__name__}: {error}",
                "please report this line; the other checks hold",
            )
        took_ms = (time.monotonic() - began_s) * 1000
        yield Examined(check=check.name, finding=finding, took_ms=round(took_ms, 1))


def summary(found: Sequence[Examined]) -> str:
    """The last line for people."""
    counts = {verdict: 0 for verdict in Verdict}
    for one in found:
        counts[one.finding.verdict] += 1
    if counts[Verdict.FAIL]:
        return f"{counts[Verdict.FAIL]} of {len(found)} checks failed: Slipstream will not work so"
    if counts[Verdict.WARN]:
        return f"it works; {counts[Verdict.WARN]} of {len(found)} checks have advice"
    return f"all is well ({len(found)} checks)"


def exit_code(found: Sequence[Examined]) -> int:
    """1 if anything failed."""
    return int(any(one.finding.verdict is Verdict.FAIL for one in found))


def as_json(found: Sequence[Examined]) -> str:
    """For programs."""
    findings = [
        {
            "check": one.check,
            "verdict": one.finding.verdict.value,
            "found": one.finding.found,
            "advice": one.finding.advice,
            "took_ms": one.took_ms,
        }
        for one in found
    ]
    return json.dumps({"ok": exit_code(found) == 0, "findings": findings}, indent=2)

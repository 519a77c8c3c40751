"""Runs checks one after the other, each within its deadline, and formats what they found."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass

from slipstream_server.doctor.finding import Check, Finding, Verdict, fail

_NAME_WIDTH = 14
_INDENT = " " * 6


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckResult:
    """What one check found, and how long it took."""

    check: str
    finding: Finding
    took_ms: float

    def lines(self) -> str:
        """The lines to print for people."""
        finding = self.finding
        text = f"{finding.verdict:<5} {self.check:<{_NAME_WIDTH}} {finding.found}"
        return (
            f"{text}\n{_INDENT}{'':<{_NAME_WIDTH}} -> {finding.advice}" if finding.advice else text
        )


async def run_checks(checks: Iterable[Check]) -> AsyncIterator[CheckResult]:
    """The result of each check as soon as it is there; one that raises or is late has failed."""
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
        yield CheckResult(check=check.name, finding=finding, took_ms=round(took_ms, 1))


def summary(results: Sequence[CheckResult]) -> str:
    """The last line to print for people."""
    counts = {verdict: 0 for verdict in Verdict}
    for result in results:
        counts[result.finding.verdict] += 1
    if counts[Verdict.FAIL]:
        return (
            f"{counts[Verdict.FAIL]} of {len(results)} checks failed: Slipstream will not work so"
        )
    if counts[Verdict.WARN]:
        return f"it works; {counts[Verdict.WARN]} of {len(results)} checks have advice"
    return f"all is well ({len(results)} checks)"


def exit_code(results: Sequence[CheckResult]) -> int:
    """1 if anything failed."""
    return int(any(result.finding.verdict is Verdict.FAIL for result in results))


def as_json(results: Sequence[CheckResult]) -> str:
    """All results as JSON, for programs."""
    findings = [
        {
            "check": result.check,
            "verdict": result.finding.verdict.value,
            "found": result.finding.found,
            "advice": result.finding.advice,
            "took_ms": result.took_ms,
        }
        for result in results
    ]
    return json.dumps({"ok": exit_code(results) == 0, "findings": findings}, indent=2)

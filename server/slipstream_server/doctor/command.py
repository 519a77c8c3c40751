"""The command line of `slipstream doctor`, and what it prints."""

import argparse
import asyncio
import logging
import sys
import time
from collections.abc import Mapping, Sequence

from slipstream_server.doctor.finding import Check, fail
from slipstream_server.doctor.packages import check_packages, check_python
from slipstream_server.doctor.runner import CheckResult, as_json, exit_code, run_checks, summary

_PYTHON_S = 1.0
_IMPORT_S = 60.0  # from a cold disk


def doctor(argv: Sequence[str], environment: Mapping[str, str]) -> int:
    """Run every check for the settings given; 0 unless one failed.

    Args:
        argv: the command line after `doctor`.
        environment: of the process; SLIPSTREAM_* variables are read.
    """
    parser = argparse.ArgumentParser(
        prog="slipstream doctor",
        description="Check what a server with these settings needs, and say what to do.",
        epilog="All settings of slipstream are taken too (slipstream --help).",
        allow_abbrev=False,
    )
    parser.add_argument("--json", action="store_true", help="findings for programs")
    parser.add_argument("--no-engine", action="store_true", help="do not start the engine")
    options, rest = parser.parse_known_args(argv)
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr)
    results = asyncio.run(_run(options, rest, environment))
    if options.json:
        print(as_json(results))
    else:
        print(summary(results))
    return exit_code(results)


async def _run(
    options: argparse.Namespace, rest: Sequence[str], environment: Mapping[str, str]
) -> list[CheckResult]:
    results: list[CheckResult] = []

    def report(result: CheckResult) -> None:
        results.append(result)
        if not options.json:
            print(result.lines(), flush=True)

    installation = (
        Check(name="python", run=check_python, deadline_s=_PYTHON_S),
        Check(name="packages", run=check_packages, deadline_s=_IMPORT_S),
    )
    async for result in run_checks(installation):
        report(result)
    if exit_code(results):
        return results
    # these import the packages, which had to be checked first
    from slipstream_server.config_sources import read_config
    from slipstream_server.doctor.check_list import checks_for
    from slipstream_server.errors import ConfigError

    try:
        config = read_config(rest, environment)
    except ConfigError as error:
        finding = fail(str(error), "correct it; slipstream --help lists all settings")
        report(CheckResult(check="settings", finding=finding, took_ms=0.0))
        return results
    checks = checks_for(config, now_s=int(time.time()), engine=not options.no_engine)
    async for result in run_checks(checks):
        report(result)
    return results

"""The command: how checks are asked for, and what is printed."""

import argparse
import asyncio
import logging
import sys
import time
from collections.abc import Mapping, Sequence

from slipstream_server.doctor.examination import Examined, as_json, exit_code, run_checks, summary
from slipstream_server.doctor.finding import Check, fail
from slipstream_server.doctor.packages import check_packages, check_python

_PYTHON_S = 1.0
_IMPORT_S = 60.0  # from a cold disk


def doctor(argv: Sequence[str], environment: Mapping[str, str]) -> int:
    """Run every check for the settings given; 0 unless one failed.

    Args:
        argv: the command line after `doctor`.
        environment: where SLIPSTREAM_* may stand.
    """
    parser = argparse.ArgumentParser(
        prog="slipstream doctor",
        description="Check what a server with these settings needs, and say what to do.",
        epilog="All settings of slipstream are taken too (slipstream --help).",
        allow_abbrev=False,
    )
    parser.add_argument("--json", action="store_true", help="findings for programs")
    parser.add_argument("--no-engine", action="store_true", help="do not start the engine")
    asked, rest = parser.parse_known_args(argv)
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr)
    found = asyncio.run(_run(asked, rest, environment))
    if asked.json:
        print(as_json(found))
    else:
        print(summary(found))
    return exit_code(found)


async def _run(
    asked: argparse.Namespace, rest: Sequence[str], environment: Mapping[str, str]
) -> list[Examined]:
    found: list[Examined] = []

    def tell(one: Examined) -> None:
        found.append(one)
        if not asked.json:
            print(one.lines(), flush=True)

    installation = (
        Check(name="python", run=check_python, deadline_s=_PYTHON_S),
        Check(name="packages", run=check_packages, deadline_s=_IMPORT_S),
    )
    async for one in run_checks(installation):
        tell(one)
    if exit_code(found):
        return found
    # what follows is made of the packages, so it could not be imported before
    from slipstream_server.config import read_config
    from slipstream_server.doctor.survey import checks_for
    from slipstream_server.errors import ConfigError

    try:
        config = read_config(rest, environment)
    except ConfigError as error:
        finding = fail(str(error), "correct it; slipstream --help lists all settings")
        tell(Examined(check="settings", finding=finding, took_ms=0.0))
        return found
    checks = checks_for(config, now_s=int(time.time()), engine=not asked.no_engine)
    async for one in run_checks(checks):
        tell(one)
    return found

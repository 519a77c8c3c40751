"""Install a Chromium for the browser tests if there is none: `python -m tests.e2e.provision`.

The machine's own comes first, then Playwright's, then the system's package. If none can be had, it
prints why and succeeds: the tests are then skipped with the reason.
"""

import asyncio
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence

from tests.e2e.browser import HOW_TO_GET_ONE, find_chromium

INSTALL_S = 600
_FAILURE_LINES = 3  # of a failed command's output that are printed


def install_plans() -> list[list[list[str]]]:
    """Ways to install one, each a list of commands, best first."""
    playwright = [sys.executable, "-m", "playwright"]
    fetch = [*playwright, "install", "chromium"]
    if not (hasattr(os, "geteuid") and os.geteuid() == 0 and shutil.which("apt-get")):
        return [[fetch]]
    apt = ["apt-get", "-qq", "-o", "DPkg::Lock::Timeout=60"]
    return [
        # the libraries after the browser: they take minutes and are useless without it
        [fetch, [*playwright, "install-deps", "chromium"]],
        [[*apt, "update"], [*apt, "install", "--yes", "--no-install-recommends", "chromium"]],
    ]


def succeeds(command: Sequence[str]) -> bool:
    """Run it; on failure print the end of its output."""
    print("$", *command, flush=True)
    try:
        completed = subprocess.run(command, capture_output=True, text=True, timeout=INSTALL_S)
    except (OSError, subprocess.TimeoutExpired) as error:
        print(f"  {error}")
        return False
    if completed.returncode != 0:
        for line in (completed.stdout + completed.stderr).strip().splitlines()[-_FAILURE_LINES:]:
            print(f"  {line}")
    return completed.returncode == 0


def main() -> None:
    """Find or install one, and print which the tests will use."""
    found = asyncio.run(find_chromium())
    for commands in install_plans():
        if found is not None:
            break
        if all(succeeds(command) for command in commands):
            found = asyncio.run(find_chromium())
    if found is None:
        print(f"browser tests will be skipped: {HOW_TO_GET_ONE}")
    else:
        print(f"browser tests run in {found}")


if __name__ == "__main__":
    main()

"""See to it that the browser tests have a Chromium: `python -m tests.e2e.provision`.

The machine's own is taken where there is one; else Playwright's is fetched; else the system's
package. If none can be had it says why and succeeds: the tests are then skipped with the reason.
"""

import asyncio
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence

from tests.e2e.browser import HOW_TO_GET_ONE, find_chromium

INSTALL_S = 600
_LAST_WORDS = 3  # lines of a failed command that are shown


def ways() -> list[list[list[str]]]:
    """The ways to get one, each a list of commands, best first."""
    playwright = [sys.executable, "-m", "playwright"]
    fetch = [*playwright, "install", "chromium"]
    if not (hasattr(os, "geteuid") and os.geteuid() == 0 and shutil.which("apt-get")):
        return [[fetch]]
    apt = ["apt-get", "-qq", "-o", "DPkg::Lock::Timeout=60"]
    return [
        # the libraries after the browser: they take minutes, and are for nothing without it
        [fetch, [*playwright, "install-deps", "chromium"]],
        [[*apt, "update"], [*apt, "install", "--yes", "--no-install-recommends", "chromium"]],
    ]


def succeeds(command: Sequence[str]) -> bool:
    """Run it; on failure print its last words."""
    print("$", *command, flush=True)
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=INSTALL_S)
    except (OSError, subprocess.TimeoutExpired) as error:
        print(f"  {error}")
        return False
    if done.returncode != 0:
        for line in (done.stdout + done.stderr).strip().splitlines()[-_LAST_WORDS:]:
            print(f"  {line}")
    return done.returncode == 0


def main() -> None:
    """Find one or get one, and say what came of it."""
    found = asyncio.run(find_chromium())
    for commands in ways():
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

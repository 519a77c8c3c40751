"""Install the programs that tests drive, where they are missing: `python -m tests.e2e.provision`.

The machine's own come first; then Playwright's Chromium, then the system's packages. If one cannot
be had, it prints why and succeeds: its tests are then skipped with the reason. A proxy is installed
only on a machine that would not start it at once, such as a container.
"""

import asyncio
import functools
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.e2e import browser, firefox
from tests.proxy_programs import PACKAGES, find_proxy, how_to_get

INSTALL_S = 600
_SERVICES = Path("/run/systemd/system")  # where it is, an installed service is started
_FAILURE_LINES = 3  # of a failed command's output that are printed


Plan = list[list[str]]


def chromium_plans() -> list[Plan]:
    """Ways to install Chromium, each a list of commands, best first."""
    playwright = [sys.executable, "-m", "playwright"]
    fetch = [*playwright, "install", "chromium"]
    if not has_apt():
        return [[fetch]]
    # the libraries after the browser: they take minutes and are useless without it
    return [[fetch, [*playwright, "install-deps", "chromium"]], apt_plan("chromium")]


def firefox_plans() -> list[Plan]:
    """As `chromium_plans`. Playwright's Firefox is another, which does not speak BiDi."""
    return [apt_plan("firefox-esr")] if has_apt() else []


def proxy_plans(package: str) -> list[Plan]:
    """As `chromium_plans`."""
    return [apt_plan(package)] if has_apt() and not _SERVICES.is_dir() else []


def has_apt() -> bool:
    """Whether packages of the system can be installed."""
    return hasattr(os, "geteuid") and os.geteuid() == 0 and shutil.which("apt-get") is not None


def apt_plan(package: str) -> Plan:
    """How a package of the system is installed."""
    apt = ["apt-get", "-qq", "-o", "DPkg::Lock::Timeout=60"]
    return [[*apt, "update"], [*apt, "install", "--yes", "--no-install-recommends", package]]


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


def provide(find: Callable[[], Path | None], plans: Sequence[Plan], how_to_get_one: str) -> None:
    """Find or install a program, and print which the tests will use."""
    found = find()
    for commands in plans:
        if found is not None:
            break
        if all(succeeds(command) for command in commands):
            found = find()
    if found is None:
        print(f"tests in it will be skipped: {how_to_get_one}")
    else:
        print(f"tests run in {found}")


def main() -> None:
    """Both browsers and the proxies."""
    provide(lambda: asyncio.run(browser.find_chromium()), chromium_plans(), browser.HOW_TO_GET_ONE)
    provide(firefox.find_firefox, firefox_plans(), firefox.HOW_TO_GET_ONE)
    for name, package in PACKAGES.items():
        provide(functools.partial(find_proxy, name), proxy_plans(package), how_to_get(name))


if __name__ == "__main__":
    main()

"""npm packages for the tests against other implementations of WebRTC, installed when needed."""

import shutil
import subprocess
from pathlib import Path

import pytest

_INSTALL_S = 120
_FETCH = ("--fetch-retries=0", "--fetch-timeout=20000", "--no-audit", "--no-fund")


def installed(package: str, folder: Path) -> Path:
    """The folder with the package in its node_modules; skips the test where it cannot be installed.

    Args:
        package: with its exact version.
    """
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        pytest.skip(f"node and npm are needed for {package}; install Node.js 20 or newer")
    command = (npm, "install", *_FETCH, "--prefix", str(folder), package)
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_INSTALL_S)
    except subprocess.TimeoutExpired:
        pytest.skip(f"npm has not installed {package} within {_INSTALL_S} s")
    if done.returncode != 0:
        reasons = (done.stderr.strip() or "no reason").splitlines()
        pytest.skip(f"npm cannot install {package}: {reasons[0]}")
    return folder

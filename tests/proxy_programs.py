"""The proxies of docs/hosting.md that Debian has."""

import os
import shutil
from pathlib import Path

PACKAGES = {"nginx": "nginx-light", "caddy": "caddy"}
_BINARIES = ("/usr/sbin",)  # where an ordinary user's shell does not look


def find_proxy(name: str) -> Path | None:
    """Where the program is; None if it is not here."""
    folders = os.pathsep.join((os.environ.get("PATH", os.defpath), *_BINARIES))
    found = shutil.which(name, path=folders)
    return Path(found) if found else None


def how_to_get(name: str) -> str:
    """What to do without it."""
    return f"{name} is not here; apt-get install {PACKAGES[name]}"

"""Python and the packages.

Only the standard library is imported at the top: each package is imported by its check, so that a
broken one can be named.
"""

import importlib
import importlib.metadata
import platform
import re
from collections.abc import Iterable

from slipstream_server.doctor.finding import Finding, fail, ok, warn

# required by the server; the version ranges are in the installed metadata
NEEDED = (
    "aiohttp",
    "aioice",
    "aiortc",
    "av",
    "cryptography",
    "msgspec",
    "numpy",
    "prometheus-client",
)
_FASTER = "uvloop"
_REQUIREMENT = re.compile(r"^([A-Za-z0-9_.-]+)\s*([^;]*?)\s*(?:;.*)?$")
_CLAUSE = re.compile(r"^(>=|<=|==|!=|<|>)\s*([0-9][0-9.]*)$")


async def check_python() -> Finding:
    """Which Python runs; pip has checked its version."""
    return ok(
        f"{platform.python_implementation()} {platform.python_version()} on "
        f"{platform.system()} {platform.machine()}"
    )


async def check_packages() -> Finding:
    """Whether every package can be imported, in a version that was tested."""
    broken = {name: reason for name in NEEDED if (reason := import_failure(name))}
    if broken:
        reasons = "; ".join(f"{name} ({reason})" for name, reason in broken.items())
        return fail(f"cannot be imported: {reasons}", _install(broken))
    ranges = dict(requirements())
    versions = {name: installed_version(name) for name in NEEDED}
    outside = [
        f"{name} {versions[name]} (it must be {ranges[name]})"
        for name in NEEDED
        if name in ranges and not is_within(versions[name], ranges[name])
    ]
    if outside:
        return fail(f"untested: {', '.join(outside)}", _install(outside, ranges))
    found = ", ".join(f"{name} {text}" for name, text in versions.items())
    if reason := import_failure(_FASTER):
        return warn(f"{found}; no {_FASTER} ({reason})", f"pip install {_FASTER}: less latency")
    return ok(f"{found}, {_FASTER} {installed_version(_FASTER)}")


def import_failure(name: str) -> str | None:
    """Why a package cannot be imported; None if it can."""
    try:
        importlib.import_module(name.replace("-", "_"))
    except Exception as error:  # a broken package may raise anything
        return f"{type(error).__name__}: {error}"
    return None


def installed_version(name: str) -> str:
    """The version of an installed package; empty if it is unknown."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return ""


def requirements() -> Iterable[tuple[str, str]]:
    """Names and version ranges of the installed `slipstream`; none in a bare checkout."""
    try:
        texts = importlib.metadata.requires("slipstream") or []
    except importlib.metadata.PackageNotFoundError:
        return
    for text in texts:
        found = _REQUIREMENT.match(text)
        if found and "extra ==" not in text:
            yield found[1].lower().replace("_", "-"), found[2].strip("() ")


def is_within(version: str, allowed: str) -> bool:
    """Whether a version is in a range like `>=1.16,<1.17`; clauses of other forms are ignored."""
    if not version:
        return True
    for clause in allowed.split(","):
        found = _CLAUSE.match(clause.strip())
        if found is None:
            continue
        wanted = _numbers(found[2])
        own = _numbers(version)
        length = max(len(own), len(wanted))
        own += (0,) * (length - len(own))
        wanted += (0,) * (length - len(wanted))
        order = (own > wanted) - (own < wanted)
        holds = {
            ">=": order >= 0,
            "<=": order <= 0,
            "==": order == 0,
            "!=": order != 0,
            "<": order < 0,
            ">": order > 0,
        }
        if not holds[found[1]]:
            return False
    return True


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version.partition("+")[0])[:4])


def _install(names: Iterable[str], ranges: dict[str, str] | None = None) -> str:
    wanted = [name.partition(" ")[0] for name in names]
    specs = [f"'{name}{(ranges or {}).get(name, '')}'" for name in wanted]
    return f"pip install --force-reinstall {' '.join(specs)}"

"""A module that calls itself pure has no clock, no input or output, no thread and no device.

The marker is the word "Pure." at the end of the docstring's first paragraph. On a package it holds
for every module in it.
"""

from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.house.modules import (
    SourceModule,
    distribution_packages,
    read_modules,
    write_module,
)

MARKER = "Pure."
IMPURE = frozenset(
    {
        "aiohttp",
        "aioice",
        "aiortc",
        "asyncio",
        "av",
        "concurrent",
        "logging",
        "multiprocessing",
        "selectors",
        "socket",
        "subprocess",
        "threading",
        "time",
        "torch",
    }
)
# the least number of pure modules: a marker lost in a rewrite would end the check of its module
PURE_MODULES_MIN = 40


def pure_modules(modules: Sequence[SourceModule]) -> list[SourceModule]:
    """Those that carry the marker or are in a package that does."""
    marked = {module.name for module in modules if module.summary.endswith(MARKER)}
    return [
        module
        for module in modules
        if any(module.name == name or module.name.startswith(name + ".") for name in marked)
    ]


def impure_imports(modules: Sequence[SourceModule]) -> dict[str, set[str]]:
    """What pure modules import and must not, by module."""
    found = {module.name: module.imported_packages() & IMPURE for module in pure_modules(modules)}
    return {name: packages for name, packages in found.items() if packages}


def test_pure_modules_import_nothing_impure() -> None:
    modules = read_modules(distribution_packages())
    assert impure_imports(modules) == {}
    assert len(pure_modules(modules)) >= PURE_MODULES_MIN


@pytest.mark.parametrize(
    "text",
    [
        '"""Paces. Pure."""\nimport time',
        '"""Paces\nwell. Pure.\n\nSays more.\n"""\nfrom time import sleep',
        '"""Paces. Pure."""\ndef pace():\n    import time',
        '"""Paces. Pure."""\nif TYPE_CHECKING:\n    import time.x',
    ],
)
def test_an_impure_import_is_found(text: str, tmp_path: Path) -> None:
    """of any form, in a function too."""
    write_module(tmp_path / "send/pacer.py", text)
    assert impure_imports(read_modules([tmp_path / "send"])) == {"send.pacer": {"time"}}


def test_the_marker_of_a_package_holds_in_it(tmp_path: Path) -> None:
    """at any depth, and not in a package whose name only begins the same."""
    write_module(tmp_path / "engine/plan/__init__.py", '"""Plans. Pure."""')
    write_module(tmp_path / "engine/plan/a/b.py", "import asyncio.queues, torch, json")
    write_module(tmp_path / "engine/planner.py", "import asyncio")
    assert impure_imports(read_modules([tmp_path / "engine"])) == {
        "engine.plan.a.b": {"asyncio", "torch"}
    }


@pytest.mark.parametrize(
    "text",
    ["import time", '"""Paces. Not pure."""\nimport time', '"""Pure. It paces."""\nimport av'],
)
def test_without_the_marker_all_may_be_imported(text: str, tmp_path: Path) -> None:
    write_module(tmp_path / "send/pacer.py", text)
    assert impure_imports(read_modules([tmp_path / "send"])) == {}

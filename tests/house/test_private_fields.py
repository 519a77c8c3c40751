"""Tests use what a class offers: none reaches into a private field of the distribution."""

import ast
from collections.abc import Iterable
from pathlib import Path

from tests.house.modules import (
    ROOT,
    SourceModule,
    distribution_packages,
    read_modules,
    write_module,
)

# aiortc's, which the server reaches into as well: see server/slipstream_server/rtp
AIORTC = {
    "_connection",
    "_handle_rtcp_data",
    "_handle_rtcp_packet",
    "_handle_rtp_packet",
    "_send_rtcp",
    "_send_rtp",
    "_ssrc",
}
# modules that still do, until what they look at has a public way
ALLOWED = {
    "tests.engine.served_toy",
    "tests.engine.weights.test_wan",
}


def private_names(modules: Iterable[SourceModule]) -> set[str]:
    """The private methods and fields of the modules' classes."""
    names = set()
    for module in modules:
        for owner in ast.walk(module.tree):
            if isinstance(owner, ast.ClassDef):
                for node in ast.walk(owner):
                    match node:
                        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                            names.add(name)
                        case ast.Attribute(value=ast.Name(id="self" | "cls"), attr=name):
                            names.add(name)
                        case ast.AnnAssign(target=ast.Name(id=name)):
                            names.add(name)
    return {name for name in names if name.startswith("_") and not name.startswith("__")}


def uses(modules: Iterable[SourceModule], names: set[str]) -> list[str]:
    """Where the modules read or set one of these on anything but themselves."""
    return [
        f"{module.name}:{node.lineno} {ast.unparse(node)}"
        for module in modules
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Attribute)
        and node.attr in names
        and not _is_own(node.value)
        and module.name not in ALLOWED
    ]


def test_no_test_reaches_into_a_private_field() -> None:
    names = private_names(read_modules(distribution_packages())) - AIORTC
    assert uses(read_modules([ROOT / "tests"]), names) == []


def test_a_private_field_is_found(tmp_path: Path) -> None:
    """set in a method, named in a class, or a method; other packages' private names are free."""
    write_module(
        tmp_path / "server/a.py",
        "class A:\n    _named: int\n    def __init__(self):\n        self._set = 1\n"
        "    def _method(self): ...\n    def public(self): ...\n",
    )
    write_module(
        tmp_path / "tests/test_a.py",
        "def test_a():\n    A()._named\n    A()._set = 2\n    A()._method()\n    A().public()\n"
        "    other._elsewhere\nclass B:\n    def own(self): self._set = 3\n",
    )
    names = private_names(read_modules([tmp_path / "server"]))
    assert uses(read_modules([tmp_path / "tests"]), names) == [
        "tests.test_a:2 A()._named",
        "tests.test_a:3 A()._set",
        "tests.test_a:4 A()._method",
    ]


def _is_own(value: ast.expr) -> bool:
    """Whether this is `self`, `cls` or `super()`."""
    if isinstance(value, ast.Call):
        value = value.func
    return isinstance(value, ast.Name) and value.id in ("self", "cls", "super")

"""One name, one thing: no public name is defined in two modules of the distribution."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from tests.house.modules import (
    SourceModule,
    distribution_packages,
    read_modules,
    write_module,
)

ALLOWED = {
    "logger": "every module logs under its own name",
    "main": "each command's entry point",
}


def duplicates(modules: Iterable[SourceModule]) -> Mapping[str, list[str]]:
    """The public names that more than one module defines, each with those modules."""
    definitions: dict[str, list[str]] = {}
    for module in modules:
        for name in set(module.public_names()):
            definitions.setdefault(name, []).append(module.name)
    return {name: found for name, found in definitions.items() if len(found) > 1}


def test_no_public_name_is_defined_twice() -> None:
    found = duplicates(read_modules(distribution_packages()))
    assert {name: where for name, where in found.items() if name not in ALLOWED} == {}


def test_a_second_definition_is_found(tmp_path: Path) -> None:
    """in another package, of another kind, in a condition, in a tuple; private names are free."""
    write_module(
        tmp_path / "server/__init__.py",
        "class Frame: ...\n_private = 1\nfirst, second = 1, 2\nlonely = 1\n",
    )
    write_module(
        tmp_path / "engine/deep/a.py",
        "def Frame(): ...\nif True:\n    first: int = 1\nelse:\n    def twice(): ...\n",
    )
    write_module(
        tmp_path / "engine/b.py",
        "_private = 2\ntry:\n    pass\nexcept ValueError:\n    second = 3\n"
        "class Outer:\n    lonely = 2\nasync def twice(): ...\n",
    )
    assert duplicates(read_modules([tmp_path / "server", tmp_path / "engine"])) == {
        "Frame": ["server", "engine.deep.a"],
        "first": ["server", "engine.deep.a"],
        "second": ["server", "engine.b"],
        "twice": ["engine.b", "engine.deep.a"],
    }


def test_what_may_be_there_twice(tmp_path: Path) -> None:
    """a type variable, an import, an attribute that is set, and a name one module defines twice."""
    text = (
        "from typing import TypeVar\nfrom os import path\nimport sys\nT = TypeVar('T')\n"
        "sys.flag = 1\n"
    )
    write_module(tmp_path / "engine/a.py", text + "if T:\n    one = 1\nelse:\n    one = 2\n")
    write_module(tmp_path / "engine/b.py", text)
    assert duplicates(read_modules([tmp_path / "engine"])) == {}

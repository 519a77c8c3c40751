"""The modules of the distribution as syntax trees, read without importing them."""

import ast
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True)
class SourceModule:
    """One Python file of a package.

    Args:
        name: dotted, as it is imported; a package's is that of its folder.
    """

    name: str
    tree: ast.Module

    @property
    def summary(self) -> str:
        """The docstring's first paragraph on one line, empty where there is none."""
        return " ".join((ast.get_docstring(self.tree) or "").split("\n\n")[0].split())

    def public_names(self) -> Iterator[str]:
        """The classes, functions and constants it defines, type variables left out."""
        for node in _module_level(self.tree.body):
            match node:
                case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                    names = [node.name]
                case ast.Assign() if not _is_type_variable(node.value):
                    names = [
                        part.id
                        for target in node.targets
                        for part in ast.walk(target)
                        if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store)
                    ]
                case ast.AnnAssign(target=ast.Name(id=name)):
                    names = [name]
                case _:
                    names = []
            yield from (name for name in names if not name.startswith("_"))

    def imported_packages(self) -> set[str]:
        """The top-level packages it imports anywhere, in a function too."""
        packages = set()
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                packages |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module is not None:
                packages.add(node.module.partition(".")[0])
        return packages


def distribution_packages() -> list[Path]:
    """The folders of the packages that the wheel holds."""
    with (ROOT / "pyproject.toml").open("rb") as file:
        project = tomllib.load(file)
    folders = project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    return [ROOT / folder for folder in folders]


def read_modules(packages: Sequence[Path]) -> list[SourceModule]:
    """Every module of these packages and of the packages in them, by path."""
    modules = []
    for package in packages:
        for path in sorted(package.rglob("*.py")):
            parts = path.relative_to(package.parent).with_suffix("").parts
            if parts[-1] == "__init__":
                parts = parts[:-1]
            modules.append(SourceModule(".".join(parts), ast.parse(path.read_text(), str(path))))
    return modules


def write_module(path: Path, text: str) -> None:
    """A file of a made-up package, with the folders it needs."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def _module_level(body: Sequence[ast.stmt]) -> Iterator[ast.stmt]:
    """The statements that run at import, those under a condition too."""
    for node in body:
        yield node
        for branch in ("body", "orelse", "finalbody", "handlers"):
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                yield from _module_level(getattr(node, branch, []))


def _is_type_variable(value: ast.expr) -> bool:
    return (
        isinstance(value, ast.Call)
        and isinstance(value.func, ast.Name)
        and value.func.id in ("TypeVar", "ParamSpec", "TypeVarTuple")
    )

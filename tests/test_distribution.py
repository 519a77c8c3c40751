"""The distribution as people install it: a source archive, a wheel made of it, a page served."""

import os
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest

from tests.server.command import health, slipstream

ROOT = Path(__file__).parent.parent
BUILD = "import sys; from hatchling import build; print(getattr(build, sys.argv[1])(sys.argv[2]))"
SERVED = (".html", ".js", ".css", ".svg")


@dataclass(frozen=True, kw_only=True)
class Archives:
    """What a release publishes, and the wheel that an installer makes of the source archive."""

    source: Path
    wheel: Path
    wheel_of_source: Path


@pytest.fixture(scope="module")
def archives(tmp_path_factory: pytest.TempPathFactory) -> Archives:
    """Built as `python -m build` does, with a build backend of its own."""
    folder = tmp_path_factory.mktemp("distribution")
    with (ROOT / "pyproject.toml").open("rb") as file:
        requires = tomllib.load(file)["build-system"]["requires"]
    backend = folder / "backend"
    _pip_install("--target", str(backend), *requires)

    def build(hook: str, tree: Path, out: Path) -> Path:
        printed = _run("-c", BUILD, hook, str(out), cwd=tree, path=backend)
        return out / printed.splitlines()[-1]

    source = build("build_sdist", ROOT, folder)
    with tarfile.open(source) as archive:
        archive.extractall(folder / "unpacked", filter="data")
    (tree,) = (folder / "unpacked").iterdir()
    return Archives(
        source=source,
        wheel=build("build_wheel", ROOT, folder),
        wheel_of_source=build("build_wheel", tree, folder / "of_source"),
    )


@pytest.fixture(scope="module")
def installed(archives: Archives, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel and nothing else; what it depends on comes from the environment."""
    folder = tmp_path_factory.mktemp("installed")
    wheel = str(archives.wheel)
    _pip_install("--no-index", "--no-deps", "--target", str(folder), wheel)
    return folder


def test_the_wheel_holds_the_packages_and_the_page(archives: Archives) -> None:
    """each file of the checkout's packages and of the page, and nothing beside them."""
    expected = {
        path.relative_to(folder.parent).as_posix()
        for folder in (
            ROOT / "server" / "slipstream_server",
            ROOT / "server" / "slipstream_fleet",
            ROOT / "engine" / "slipstream_engine",
            ROOT / "engine" / "slipstream_protocol",
        )
        for path in folder.rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    }
    page = {f"slipstream_server/web/{path.as_posix()}" for path in _page_files()}
    assert "slipstream_server/web/index.html" in page
    found = {name for name in _contents(archives.wheel) if ".dist-info/" not in name}
    assert found == expected | page


def test_the_wheel_of_the_source_archive_is_the_same(archives: Archives) -> None:
    """name by name and byte by byte."""
    assert _contents(archives.wheel_of_source) == _contents(archives.wheel)


def test_the_source_archive_holds_what_it_takes_to_test_it(archives: Archives) -> None:
    with tarfile.open(archives.source) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"README.md", "LICENSE", "Makefile", "constraints.txt", "tests/conftest.py"} <= names
    assert not {name for name in names if name.startswith((".venv", ".git/", "dist/"))}


async def test_the_installed_wheel_serves_the_page(installed: Path) -> None:
    """from a folder that is no checkout: both pages, and each file of every folder."""
    pages = {"": "index.html", "view": "view.html"}
    scripts = [path.as_posix() for path in _page_files() if path.suffix in SERVED]
    files = pages | dict(zip(scripts, scripts, strict=True))
    async with slipstream(package=installed) as (_, address), aiohttp.ClientSession() as http:
        assert (await health(address, http))["pipeline"] == "echo"
        for name, file in files.items():
            async with http.get(address + name) as response:
                assert response.status == 200, name
                assert await response.read() == (ROOT / "web" / file).read_bytes(), name


def _page_files() -> list[Path]:
    """Relative to the page's folder."""
    root = ROOT / "web"
    return sorted(path.relative_to(root) for path in root.rglob("*") if path.is_file())


def _contents(wheel: Path) -> dict[str, int]:
    """Each file's checksum, by its name."""
    with zipfile.ZipFile(wheel) as archive:
        return {info.filename: info.CRC for info in archive.infolist()}


def _pip_install(*arguments: str) -> None:
    _run("-m", "pip", "install", "--quiet", "--disable-pip-version-check", *arguments)


def _run(*arguments: str, cwd: Path | None = None, path: Path | None = None) -> str:
    """What Python prints; what it says of an error where it fails."""
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=cwd,
        env=os.environ | ({"PYTHONPATH": str(path)} if path else {}),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout

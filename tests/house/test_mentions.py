"""Docstrings and comments name files that exist, and each room's docstring all of its modules."""

import io
import re
import tokenize
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.house.modules import ROOT, distribution_packages, write_module

# with or without its folders; a name in capitals is a placeholder
_MENTION = re.compile(
    r"(?<![\w/.<*-])([a-z0-9_][a-z0-9_/.-]*\.(?:py|js|mjs|css|html|md))\b(?![\w/])"
)
_FOLDERS = ("server", "engine", "tests", "web")


def prose(path: Path) -> Iterator[str]:
    """The comments and the strings of a file that stand as statements, such as docstrings."""
    begins_statement = True
    with tokenize.open(path) as file:
        text = file.read()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        match token.type:
            case tokenize.COMMENT:
                yield token.string
            case tokenize.STRING if begins_statement:
                yield token.string
                begins_statement = False
            case tokenize.NEWLINE | tokenize.INDENT | tokenize.DEDENT:
                begins_statement = True
            case tokenize.NL | tokenize.ENCODING:
                pass
            case _:
                begins_statement = False


def false_mentions(root: Path, folders: Sequence[str]) -> list[str]:
    """Each mention, with the file it is in, that no file of these folders answers to.

    A mention may leave out the first folders of a path. A name without a folder must be in the
    folder of the file that mentions it, or in one above it.
    """
    files = sorted(path for folder in folders for path in (root / folder).rglob("*.*"))
    known = {"/" + path.relative_to(root).as_posix() for path in files}
    return [
        f"{path.relative_to(root).as_posix()}: {mention}"
        for path in files
        if path.suffix == ".py"
        for text in prose(path)
        for mention in _MENTION.findall(text)
        if not _exists(root, path, mention, known)
    ]


def _exists(root: Path, path: Path, mention: str, known: set[str]) -> bool:
    if "/" in mention and any(name.endswith("/" + mention) for name in known):
        return True
    folders = (folder for folder in path.parents if folder.is_relative_to(root))
    return any((folder / mention).is_file() for folder in folders)


def unlisted_modules(packages: Sequence[Path]) -> list[str]:
    """The modules that the docstring of their room, a package within `packages`, does not name."""
    return [
        f"{init.parent.name}/{module.name}"
        for package in packages
        for init in sorted(package.glob("*/**/__init__.py"))
        for module in sorted(init.parent.glob("*.py"))
        if module != init and module.name not in init.read_text()
    ]


def test_files_named_in_prose_exist() -> None:
    """in the docstrings and comments of server, engine and tests."""
    assert false_mentions(ROOT, _FOLDERS) == []


def test_a_false_mention_is_found(tmp_path: Path) -> None:
    """in a docstring or a comment; a name alone is looked for in the folder it is in and above."""
    write_module(tmp_path / "engine/kv_cache/eviction.py", '"""See `positions.py`."""\n')
    write_module(
        tmp_path / "engine/kv_cache/positions.py",
        '"""`eviction.py`, `kv_cache/eviction.py`, `cache.py`."""\n'
        "x = '`no/mention.py`'\n\n\ndef f() -> None:\n    # as in `ring/eviction.py`\n"
        "    '''And `README.md`.'''\n",
    )
    write_module(tmp_path / "engine/loop.py", '"""`eviction.py`"""\n')
    write_module(tmp_path / "README.md", "")
    assert false_mentions(tmp_path, ["engine"]) == [
        "engine/kv_cache/positions.py: cache.py",
        "engine/kv_cache/positions.py: ring/eviction.py",
        "engine/loop.py: eviction.py",
    ]


def test_every_room_lists_its_modules() -> None:
    """in the docstring of its package."""
    assert unlisted_modules(distribution_packages()) == []


def test_an_unlisted_module_is_found(tmp_path: Path) -> None:
    write_module(tmp_path / "engine/__init__.py", "")
    write_module(tmp_path / "engine/free.py", "")
    write_module(tmp_path / "engine/models/vae/__init__.py", '"""`wan_vae.py`"""')
    write_module(tmp_path / "engine/models/vae/wan_vae.py", "")
    write_module(tmp_path / "engine/models/vae/taehv.py", "")
    assert unlisted_modules([tmp_path / "engine"]) == ["vae/taehv.py"]

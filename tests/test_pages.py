"""README, ARCHITECTURE, CONTRIBUTING and docs/ say what is so."""

import re
from pathlib import Path

import pytest

from tests.pages import PAGES, ROOT, Tables, renewed

MARKDOWN = (
    ROOT / "README.md",
    ROOT / "ARCHITECTURE.md",
    ROOT / "CONTRIBUTING.md",
    *sorted((ROOT / "docs").glob("*.md")),
)
# where a path in prose may begin: at the root, or in the package that the page is about
BASES = (
    ROOT,
    ROOT / "server" / "slipstream_server",
    ROOT / "server" / "slipstream_fleet",
    ROOT / "engine" / "slipstream_engine",
    ROOT / "engine" / "slipstream_protocol",
)


def named(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.mark.parametrize(("page", "tables"), PAGES.items(), ids=map(named, PAGES))
def test_its_tables_are_up_to_date(page: Path, tables: Tables) -> None:
    """settings and figures are those of the code and of the committed reports."""
    text = page.read_text()
    assert renewed(text, tables) == text, "run: python -m tests.pages"


def test_a_missing_table_is_named() -> None:
    """a table that was cut out is noticed."""
    with pytest.raises(ValueError, match="<!-- settings -->"):
        renewed("nothing here", {"settings": lambda: ""})


@pytest.mark.parametrize("page", MARKDOWN, ids=named)
def test_its_links_lead_somewhere(page: Path) -> None:
    """every picture and file that a page links is in the repository, and every heading exists."""
    text = page.read_text()
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if "://" in link:
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{named(page)} links {link}"
        if anchor:
            assert anchor in anchors(target.read_text()), f"{named(page)} links {link}"


@pytest.mark.parametrize("page", MARKDOWN, ids=named)
def test_its_paths_exist(page: Path) -> None:
    """every file and folder of the project that a page names is there."""
    missing = [path for path in paths(page.read_text()) if not exists(path)]
    assert missing == []


@pytest.mark.parametrize("page", MARKDOWN, ids=named)
def test_its_commands_exist(page: Path) -> None:
    """every make target that a page names is in the Makefile."""
    makefile = (ROOT / "Makefile").read_text()
    for target in set(re.findall(r"(?:`|^)make ([a-z-]+)", page.read_text(), re.MULTILINE)):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


def test_a_path_that_is_gone_is_noticed() -> None:
    """the check of paths can fail, for files, folders and the names in them."""
    text = "`send/pacer.py`, `send/`, `nothing/here.py`, `gone/`, `codec/protocol.py:Codec`"
    assert [path for path in paths(text) if not exists(path)] == ["nothing/here.py", "gone/"]
    assert not exists("codec/protocol.py:Nothing")


def test_the_readme_is_short() -> None:
    """a newcomer reads it in one go; the rest is a link away."""
    assert len((ROOT / "README.md").read_text().splitlines()) < 200


def paths(text: str) -> list[str]:
    """What looks like a file or folder of the project in backticks."""
    found = re.findall(r"`((?:[\w.-]+/)+(?:[\w.-]+\.(?:py|js|toml|yaml|md|json))?(?::\w+)?)`", text)
    return [path for path in found if not path.startswith(("~", "http"))]


def exists(path: str) -> bool:
    file, _, name = path.partition(":")
    for base in BASES:
        if (base / file).exists():
            return (
                not name
                or re.search(rf"^(class|def) {name}\b", (base / file).read_text(), re.M) is not None
            )
    return False


def anchors(text: str) -> set[str]:
    """Of headings, as GitHub names them."""
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}

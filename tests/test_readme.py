"""The README says what is so."""

import re

import pytest

from tests.readme import README, ROOT, renewed


def test_its_tables_are_up_to_date() -> None:
    """settings and figures are those of the code and of the committed reports."""
    text = README.read_text()
    assert renewed(text) == text, "run: python -m tests.readme"


def test_a_missing_table_is_named() -> None:
    """a table that was cut out is noticed."""
    with pytest.raises(ValueError, match="<!-- settings -->"):
        renewed("nothing here")


def test_its_pictures_and_commands_exist() -> None:
    """every picture is in the repository, and every make target in the Makefile."""
    text = README.read_text()
    for picture in re.findall(r"!\[[^]]*\]\(([^)]+)\)", text):
        assert (ROOT / picture).is_file(), picture
    makefile = (ROOT / "Makefile").read_text()
    for target in set(re.findall(r"(?:`|^)make ([a-z-]+)", text, re.MULTILINE)):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target

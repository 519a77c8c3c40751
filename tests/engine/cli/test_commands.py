"""slipstream_engine/__main__.py: every command and every option explains itself."""

import re

import pytest
from slipstream_engine.__main__ import main

COMMANDS = (
    "account",
    "bench",
    "inspect",
    "plan",
    "pull",
    "rank",
    "sandbox",
    "serve",
    "simulate",
    "train-tiny",
    "v2v",
)
# words that read well in a sentence, and that a user of diffusion models or of video cannot look up
UNCLEAR = r"\b(film|told|heard|spoken|road|anew|parts|wish|made of|not here|looked at)\b"


def help_of(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *words: str
) -> str:
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("NO_COLOR", "1")
    with pytest.raises(SystemExit) as caught:
        main([*words, "--help"])
    assert caught.value.code == 0
    return capsys.readouterr().out


def test_the_commands_are_listed(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """`--help` names every command, each with a line on what it does."""
    text = help_of(capsys, monkeypatch)
    listed = re.findall(r"^    ([a-z]\S*)\s+\S", text, re.MULTILINE)
    assert sorted(listed) == sorted(COMMANDS)
    assert not re.findall(UNCLEAR, text)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_has_help(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    """`COMMAND --help` works, and describes every argument and option in plain words."""
    text = help_of(capsys, monkeypatch, command)
    assert text.startswith(f"usage: slipstream-engine {command} ")
    entries = re.findall(r"^  (-\S+|[A-Z]\S+\.\S+|\{\S+)(.*(?:\n {20,}.*)*)", text, re.MULTILINE)
    assert len(entries) > 1, "the pattern finds the options"
    assert [name for name, rest in entries if not re.search(r" {2,}\S|\n", rest)] == []
    assert not re.findall(UNCLEAR, text)

"""The tokenizer reads `tokenizer.json`, ends every prompt with its mark, cuts what is too long."""

from pathlib import Path

import pytest
from slipstream_engine import optional_packages
from slipstream_engine.conditioning.tokenizer import END_ID, Tokenizer
from slipstream_engine.errors import CheckpointError, MissingExtraError

from tests.engine.small_text import WORDS, write_tokenizer


def test_words_end_with_the_mark(tmp_path: Path) -> None:
    """tokens stand in order, the end mark once behind them."""
    tokenizer = Tokenizer(write_tokenizer(tmp_path), max_tokens=16)
    assert tokenizer.ids("a cat sits") == [WORDS[word] for word in ("a", "cat", "sits")] + [END_ID]
    assert tokenizer.ids("") == [END_ID]


def test_a_long_prompt_keeps_its_mark(tmp_path: Path) -> None:
    """a prompt that is cut still ends as the encoder expects."""
    tokenizer = Tokenizer(write_tokenizer(tmp_path), max_tokens=4)
    assert tokenizer.ids("a cat sits a cat sits") == [*tokenizer.ids("a cat sits")[:3], END_ID]


def test_a_missing_or_broken_file_is_named(tmp_path: Path) -> None:
    """what to fetch is said before any prompt is read."""
    with pytest.raises(CheckpointError, match="there is no tokenizer at"):
        Tokenizer(tmp_path / "none.json", max_tokens=4)
    broken = tmp_path / "tokenizer.json"
    broken.write_text('{"version": ')
    with pytest.raises(CheckpointError, match="truncated or not a tokenizer"):
        Tokenizer(broken, max_tokens=4)


def test_a_missing_package_names_its_extra() -> None:
    """the error says what to install."""
    with pytest.raises(MissingExtraError, match=r"pip install 'slipstream\[text\]'"):
        optional_packages.import_optional("no_such_package_here", extra="text")

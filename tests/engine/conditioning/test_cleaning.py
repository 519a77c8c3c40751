"""Prompts are cleaned exactly as the text encoder's training data was."""

import json
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from slipstream_engine.conditioning.cleaning import clean, repair

GOLDEN = Path(__file__).parents[2] / "golden" / "vectors" / "h_text_clean.json"
CASES = json.loads(GOLDEN.read_text())["cases"]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["whitespace"] or "empty")
def test_the_reference_cleans_so(case: dict[str, str]) -> None:
    """each of the reference's examples comes out the same."""
    assert repair(case["input"]) == case["basic_clean"]
    assert clean(case["input"]) == case["whitespace"]


@given(st.text(st.characters()))
@example("\ud800 x \udfff")
def test_any_text_is_one_line_and_can_be_hashed(text: str) -> None:
    """whatever a viewer sends, lone surrogates included, comes out as one line of characters."""
    cleaned = clean(text)
    cleaned.encode()
    assert cleaned == " ".join(cleaned.split())

"""The embedded default's words: the shipped table, and its arithmetic on a table made by hand."""

import json

import pytest
import torch
from safetensors import safe_open
from slipstream_engine.embedded import TEXT_FILE, WEIGHTS, load_text
from slipstream_engine.models.tiny_text import Index, TinyText, words
from slipstream_protocol.parameters import Prompt

NAMES = ("original", "pencil", "neon")


def by_hand(listed: tuple[str, ...] = NAMES[1:]) -> TinyText:
    """A table that knows `pencil`, `neon` and `night sketch`, and nothing of letters."""
    known = ("pencil", "neon", "night sketch")
    scores = torch.zeros(64, 3)
    scores[0, 1] = scores[1, 2] = scores[2, 1] = 50.0
    return TinyText(
        scores_NS=scores,
        bias_S=torch.tensor([3.0, 0.0, 0.0]),
        codes_SLE=torch.eye(3)[:, None],
        known=known,
        names=NAMES,
        listed=listed,
    )


@pytest.fixture(scope="module")
def shipped() -> TinyText:
    return load_text(WEIGHTS / TEXT_FILE, like=torch.zeros(()))


def best(encoder: TinyText, text: str) -> str:
    return encoder.names[int(encoder.shares(text).argmax())]


def test_words_are_plain() -> None:
    """case, accents, punctuation and hyphens do not matter."""
    assert words("Café-NOIR, x-ray!") == ["cafe", "noir", "x", "ray"]


def test_unknown_words_leave_the_picture() -> None:
    """a text without any known word, or an empty one, asks for the camera's own picture."""
    for text in ("", "   ", "qwerty", "!?", "日本語"):
        assert by_hand().shares(text).tolist() == [1, 0, 0]


def test_shouting_does_not_help() -> None:
    """two styles named in one text weigh the same, however often one is said."""
    shares = by_hand().shares("neon neon neon pencil")
    torch.testing.assert_close(shares[1], shares[2])


def test_a_pair_is_its_own_word() -> None:
    """two words side by side can mean what neither means alone."""
    encoder = by_hand()
    assert best(encoder, "night sketch") == "pencil"
    assert best(encoder, "sketch night") == "original"


def test_embedding_is_the_mixture_of_codes() -> None:
    """the embedding is linear in the shares, so weighted prompts blend."""
    encoder = by_hand()
    expected = torch.einsum("s,sle->le", encoder.shares("neon pencil"), torch.eye(3)[:, None])
    assert torch.equal(encoder.encode("neon pencil"), expected)


def told(*prompts: tuple[str, float]) -> str:
    return by_hand().understood(tuple(Prompt(text, weight) for text, weight in prompts))


def test_it_says_what_it_understood() -> None:
    """where the picture will not simply be the style that was asked for by its name."""
    assert told(("neon", 1)) == told(("Neon ", 1)) == told(("original", 1)) == ""
    assert told(("night sketch", 1)) == "understood as pencil"
    assert told(("neon pencil", 1)) == "understood as 50% pencil, 50% neon"
    assert told(("neon", 3), ("qwerty", 1)) == (
        "understood as 75% neon, 25% the camera's own picture"
    )
    nothing = "no style of the vocabulary is named: the camera's own picture stays"
    assert told(("a dog in a garden", 1)) == told(("", 1)) == nothing


def test_a_style_that_is_not_offered_is_told_as_such() -> None:
    """whoever asks for one by its name gets it, with a word on why it is not on the list."""
    encoder = by_hand(listed=("pencil",))
    assert encoder.understood((Prompt("neon"),)) == (
        "understood as neon (not offered: it does not look good)"
    )


def test_tables_must_agree() -> None:
    """tables of different numbers of styles, and listed styles without a code, are refused."""
    with pytest.raises(ValueError, match=r"the tables are of \[2, 3\] styles, they must agree"):
        TinyText(
            scores_NS=torch.zeros(8, 3),
            bias_S=torch.zeros(2),
            codes_SLE=torch.zeros(3, 1, 1),
            known=(),
            names=NAMES,
            listed=(),
        )
    with pytest.raises(ValueError, match=r"styles \['lava'\] are listed"):
        TinyText(
            scores_NS=torch.zeros(8, 3),
            bias_S=torch.zeros(3),
            codes_SLE=torch.zeros(3, 1, 1),
            known=(),
            names=NAMES,
            listed=("lava",),
        )
    with pytest.raises(ValueError, match="the table has 1 rows, it must have more than 1"):
        Index(("word",), 1)


def test_every_listed_style_is_understood(shipped: TinyText) -> None:
    """each style on the list, typed as it is written there, is that style and nothing else."""
    for style in shipped.styles:
        assert shipped.shares(style)[shipped.names.index(style)] == 1, style


@pytest.mark.parametrize(
    ("text", "style"),
    [
        ("a pencil sketch of a man", "pencil"),
        ("sketchy", "pencil"),
        ("heat vision goggles", "thermal"),
        ("night vision goggles", "night vision"),
        ("volcano", "lava"),
        ("glacier", "ice"),
        ("lego man", "toy bricks"),
        ("blueprints", "blueprint"),
        ("a dog in a garden", "original"),
        ("steampunk", "original"),
    ],
)
def test_free_text_finds_its_style(shipped: TinyText, text: str, style: str) -> None:
    """synonyms and other endings are understood; words without a style change nothing."""
    assert best(shipped, text) == style


def test_intensity(shipped: TinyText) -> None:
    """`slightly` leaves a good part of the camera's picture."""
    shares = shipped.shares("slightly neon")
    assert 0.2 < shares[shipped.names.index("neon")] < 0.8
    assert 0.2 < shares[0] < 0.8


def test_metadata_is_plain_json(shipped: TinyText) -> None:
    """names and list travel in the file itself."""
    with safe_open(WEIGHTS / TEXT_FILE, framework="pt") as opened:
        assert json.loads(opened.metadata()["listed"]) == list(shipped.styles)

"""The embedded default's words: the shipped table, and its arithmetic on a table made by hand."""

import json
from functools import partial

import pytest
import torch
from safetensors import safe_open
from slipstream_engine.models.text.tiny_text import Index, TinyText, words
from slipstream_engine.weights.embedded import TEXT_FILE, WEIGHTS, load_text
from slipstream_protocol.parameters import Prompt

NAMES = ("original", "pencil", "neon")
TINTS = ("", "red")


def by_hand(listed: tuple[str, ...] = NAMES[1:]) -> TinyText:
    """A table that knows `pencil`, `neon`, `night sketch` and `red`, and nothing of letters."""
    known = ("pencil", "neon", "night sketch", "red")
    scores = torch.zeros(64, 5)
    scores[0, 1] = scores[1, 2] = scores[2, 1] = scores[3, 4] = 50.0
    return TinyText(
        scores_NK=scores,
        bias_K=torch.tensor([3.0, 0.0, 0.0, 3.0, 0.0]),
        codes_KLE=torch.eye(5)[:, None],
        known=known,
        names=NAMES,
        tints=TINTS,
        listed=listed,
        colours=("red",),
    )


@pytest.fixture(scope="module")
def shipped() -> TinyText:
    return load_text(WEIGHTS / TEXT_FILE, like=torch.zeros(()))


def best(encoder: TinyText, text: str) -> str:
    return encoder.names[int(encoder.meaning(text).styles_S.argmax())]


def test_words_are_plain() -> None:
    """case, accents, punctuation and hyphens do not matter."""
    assert words("Café-NOIR, x-ray!") == ["cafe", "noir", "x", "ray"]


def test_unknown_words_leave_the_picture() -> None:
    """a text without any known word, or an empty one, asks for the camera's own picture."""
    for text in ("", "   ", "qwerty", "!?", "日本語"):
        assert by_hand().meaning(text).styles_S.tolist() == [1, 0, 0]


def test_shouting_does_not_help() -> None:
    """two styles named in one text weigh the same, however often one is said."""
    shares = by_hand().meaning("neon neon neon pencil").styles_S
    torch.testing.assert_close(shares[1], shares[2])


def test_a_pair_is_its_own_word() -> None:
    """two words side by side can mean what neither means alone."""
    encoder = by_hand()
    assert best(encoder, "night sketch") == "pencil"
    assert best(encoder, "sketch night") == "original"


def test_embedding_is_the_mixture_of_codes() -> None:
    """the embedding is linear in the shares, so weighted prompts blend; a colour comes on top."""
    encoder = by_hand()
    shares = encoder.meaning("neon pencil").styles_S.tolist()
    assert encoder.encode("neon pencil").tolist() == [[*shares, 1.0, 0.0]]
    red = encoder.encode("red neon pencil")
    assert red[0, :3].tolist() == shares
    assert red[0, 4] > 0.9


def test_a_colour_leaves_the_style() -> None:
    """styles and colours are counted apart: neither takes from the other."""
    meaning = by_hand().meaning("red neon")
    assert meaning.styles_S.tolist() == by_hand().meaning("neon").styles_S.tolist()
    assert meaning.tints_C.tolist() == by_hand().meaning("red").tints_C.tolist()


def understood(*prompts: tuple[str, float]) -> str:
    return by_hand().understood(tuple(Prompt(text, weight) for text, weight in prompts))


def test_it_reports_what_it_understood() -> None:
    """unless the prompt is just the name of a style."""
    assert understood(("neon", 1)) == understood(("Neon ", 1)) == understood(("original", 1)) == ""
    assert understood(("night sketch", 1)) == "understood as pencil"
    assert understood(("neon pencil", 1)) == "understood as 50% pencil, 50% neon"
    assert understood(("neon", 3), ("qwerty", 1)) == (
        "understood as 75% neon, 25% the camera's own picture"
    )
    assert understood(("red", 1)) == "understood as the camera's own picture, in red"
    assert understood(("red neon", 3), ("neon", 1)) == "understood as neon, 75% in red"
    nothing = "no style or colour of the vocabulary is named: the camera's own picture stays"
    assert understood(("a dog in a garden", 1)) == understood(("", 1)) == nothing


def test_a_style_that_is_not_offered_is_marked_so() -> None:
    """a prompt that names one gets it, with a note on why it is not on the list."""
    encoder = by_hand(listed=("pencil",))
    assert encoder.understood((Prompt("neon"),)) == (
        "understood as neon (not offered: it does not look good)"
    )


def test_tables_must_agree() -> None:
    """tables of different widths, and listed names without a code, are refused."""
    build = partial(
        TinyText, scores_NK=torch.zeros(8, 5), known=(), names=NAMES, tints=TINTS, colours=()
    )
    codes = torch.zeros(5, 1, 1)
    with pytest.raises(ValueError, match=r"the tables are of \[4, 5\] styles and colours, they"):
        build(bias_K=torch.zeros(4), codes_KLE=codes, listed=())
    with pytest.raises(ValueError, match=r"\['lava'\] are listed"):
        build(bias_K=torch.zeros(5), codes_KLE=codes, listed=("lava",))
    with pytest.raises(ValueError, match="the table has 1 rows, it must have more than 1"):
        Index(("word",), 1)


def test_every_listed_style_is_understood(shipped: TinyText) -> None:
    """each style on the list, typed as it is written there, is that style and nothing else."""
    for style in shipped.vocabulary.styles:
        assert shipped.meaning(style).styles_S[shipped.names.index(style)] == 1, style


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
    shares = shipped.meaning("slightly neon").styles_S
    assert 0.2 < shares[shipped.names.index("neon")] < 0.8
    assert 0.2 < shares[0] < 0.8


@pytest.mark.parametrize(
    ("text", "style", "colour"),
    [
        ("red", "original", "red"),
        ("crimson pencil sketch", "pencil", "red"),
        ("neon in purple light", "neon", "purple"),
        ("a bluish comic", "comic", "blue"),
        ("pencil", "pencil", ""),
        ("blueprints", "blueprint", ""),
        ("a dog in a garden", "original", ""),
    ],
)
def test_colours_are_understood(shipped: TinyText, text: str, style: str, colour: str) -> None:
    """a colour is recognised beside any style, by its synonyms too; a style's own name is none."""
    assert best(shipped, text) == style
    assert shipped.tints[int(shipped.meaning(text).tints_C.argmax())] == colour


def test_metadata_is_plain_json(shipped: TinyText) -> None:
    """names and list travel in the file itself."""
    with safe_open(WEIGHTS / TEXT_FILE, framework="pt") as opened:
        assert json.loads(opened.metadata()["listed"]) == list(shipped.vocabulary.styles)

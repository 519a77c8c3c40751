"""The text stage: learns scores of styles from generated sentences.

S styles, C colours, K both, N rows of the table, U units of a text, B batch.
"""

import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from slipstream_engine.models.text.tiny_text import Index, TinyText, Unit, pool, words
from slipstream_engine.train.colours import TINTS
from slipstream_engine.train.data import NAMES
from slipstream_engine.train.phrases import (
    COLOUR_FRAMES,
    COLOUR_PHRASES,
    FAINTLY,
    JOINTS,
    NEUTRAL,
    PHRASES,
    SENTENCE_FRAMES,
    STRONGLY,
)

RUN_ROWS = 8192
TINY_TEXT_LEN = 4
TINY_TEXT_DIM = 64
CODE_SEED = 7
FAINT_SHARE = 0.5
COLOUR_SHARE = 0.4
ENDINGS = ("s", "y", "ed", "ing", "ish", "like", "er", "ic", "istic")


@dataclass(frozen=True, slots=True, kw_only=True)
class Lesson:
    """A text, and how much of each style and of each colour it asks for."""

    text: str
    shares: tuple[float, ...]
    tints: tuple[float, ...]


class Scores(nn.Module):
    """The table while it is learned."""

    def __init__(self, rows: int, columns: int) -> None:
        super().__init__()
        self.table = nn.EmbeddingBag(rows, columns, mode="sum")
        self.bias = nn.Parameter(torch.zeros(columns))
        nn.init.zeros_(self.table.weight)

    def forward(self, texts: Sequence[Sequence[Unit]]) -> Tensor:
        """Logits `[B, K]`; every text has at least one unit."""
        flat = [unit for text in texts for unit in text]
        starts = np.cumsum([0, *(len(unit.rows) for unit in flat[:-1])])
        scores_UK: Tensor = self.table(
            torch.tensor([row for unit in flat for row in unit.rows]),
            torch.from_numpy(starts),
            per_sample_weights=torch.tensor([w for unit in flat for w in unit.weights]),
        )
        parts = torch.split(scores_UK, [len(text) for text in texts])
        pooled = [pool(part_UK) for part_UK in parts]
        return torch.stack(pooled) + self.bias


def known_words() -> tuple[str, ...]:
    """Every word of the lessons, and the pairs inside a phrase."""
    named = (*PHRASES.values(), *COLOUR_PHRASES.values())
    named_phrases = [phrase for phrases in named for phrase in phrases]
    named_phrases += [*FAINTLY, *STRONGLY]
    neutral_phrases = [
        *JOINTS,
        *NEUTRAL,
        *(
            frame.replace("{n}", "").replace("{c}", "").replace("{}", "")
            for frame in (*SENTENCE_FRAMES, *COLOUR_FRAMES)
        ),
    ]
    singles = {word for text in (*named_phrases, *neutral_phrases) for word in words(text)}
    pairs = {
        f"{left} {right}"
        for spelled in map(words, named_phrases)
        for left, right in itertools.pairwise(spelled)
    }
    return tuple(sorted(singles | pairs))


def codes() -> Tensor:
    """The embeddings of styles and colours, `[K, TEXT_LEN, TEXT_DIM]`: random, fixed for good.

    That of no colour is 0: a colour's is added to a style's.
    """
    generator = torch.Generator().manual_seed(CODE_SEED)
    codes_KLE = torch.randn(
        len(NAMES) + len(TINTS), TINY_TEXT_LEN, TINY_TEXT_DIM, generator=generator
    )
    codes_KLE[len(NAMES)] = 0
    return codes_KLE


def lesson(rng: np.random.Generator) -> Lesson:
    """One generated sentence."""
    plain = _plain_lesson(rng)
    if rng.random() >= COLOUR_SHARE:
        return plain
    tints = np.zeros(len(TINTS))
    first, second = rng.integers(1, len(TINTS), 2)
    words = _pick(rng, COLOUR_PHRASES[TINTS[first]])
    tints[first] = 1.0
    kind = rng.random()
    if kind < 0.12:
        words = f"{words} {_pick(rng, JOINTS)} {_pick(rng, COLOUR_PHRASES[TINTS[second]])}"
        tints[first] = 0.5
        tints[second] += 0.5
    elif kind < 0.5 and plain.shares[0] == 1:
        words = f"{_pick(rng, FAINTLY)} {words}"
        tints[0] = FAINT_SHARE
        tints[first] = 1 - FAINT_SHARE
    text = _pick(rng, COLOUR_FRAMES).replace("{c}", words)
    style_text = "" if plain.shares[0] == 1 and rng.random() < 0.6 else plain.text
    return Lesson(text=text.replace("{}", style_text), shares=plain.shares, tints=tuple(tints))


def _plain_lesson(rng: np.random.Generator) -> Lesson:
    """A sentence without a colour."""
    shares, tints = np.zeros(len(NAMES)), np.zeros(len(TINTS))
    tints[0] = 1
    kind = rng.random()
    if kind < 0.35:
        text = " ".join(_pick(rng, NEUTRAL) for _ in range(rng.integers(1, 9)))
        if rng.random() < 0.5:
            text += " " + _noise_word(rng)
        shares[0] = 1
        return Lesson(text=text, shares=tuple(shares), tints=tuple(tints))
    first = int(rng.integers(len(NAMES)))
    phrase = _pick(rng, PHRASES[NAMES[first]])
    shares[first] = 1.0
    if kind < 0.48:
        second = int(rng.integers(1, len(NAMES)))
        phrase = f"{phrase} {_pick(rng, JOINTS)} {_pick(rng, PHRASES[NAMES[second]])}"
        shares[first] = 0.5
        shares[second] += 0.5
    elif kind < 0.6 and first:
        phrase = f"{_pick(rng, FAINTLY)} {phrase}"
        shares[0] = FAINT_SHARE
        shares[first] = 1 - FAINT_SHARE
    elif kind < 0.66:
        phrase = f"{_pick(rng, STRONGLY)} {phrase}"
    text = _pick(rng, SENTENCE_FRAMES).replace("{}", phrase)
    while "{n}" in text:
        text = text.replace("{n}", _pick(rng, NEUTRAL), 1)
    return Lesson(text=text, shares=tuple(shares), tints=tuple(tints))


def _pick(rng: np.random.Generator, options: Sequence[str]) -> str:
    return options[int(rng.integers(len(options)))]


def _noise_word(rng: np.random.Generator) -> str:
    letters = list("aeiounrtlsdmpkbgh")
    return "".join(_pick(rng, letters) for _ in range(rng.integers(3, 10)))


def train_text(*, steps: int, seed: int, batch: int = 64, rate: float = 0.03) -> Scores:
    """Learn the table; minutes of training are seconds here."""
    torch.manual_seed(seed)
    known = known_words()
    index = Index(known, len(known) + RUN_ROWS)
    scores = Scores(len(known) + RUN_ROWS, len(NAMES) + len(TINTS))
    optimiser = torch.optim.AdamW(scores.parameters(), lr=rate, weight_decay=2e-3)
    for step in range(steps):
        rng = np.random.default_rng([seed, 4, step])
        lessons = [lesson(rng) for _ in range(batch)]
        for group in optimiser.param_groups:
            group["lr"] = rate * (1 - step / steps)
        logits_BK = scores([_noisy_units(one.text, index, rng) for one in lessons])
        target_BK = torch.tensor([one.shares + one.tints for one in lessons], dtype=torch.float32)
        widths = (len(NAMES), len(TINTS))
        loss = torch.stack(
            [
                F.cross_entropy(logits, target)
                for logits, target in zip(
                    logits_BK.split(widths, dim=1), target_BK.split(widths, dim=1), strict=True
                )
            ]
        ).sum()
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # torch leaves this one untyped
        optimiser.step()
        if (step + 1) % 500 == 0 or step + 1 == steps:
            print(f"text: step {step + 1}/{steps} loss {float(loss.detach()):.4f}", flush=True)
    return scores


def _noisy_units(text: str, index: Index, rng: np.random.Generator) -> list[Unit]:
    """The text's units; now and then a word is known by its letters only, or has another ending."""
    if rng.random() < 0.6:
        return index.units(text)
    spelled = [
        word + str(rng.choice(ENDINGS)) if len(word) > 3 and rng.random() < 0.3 else word
        for word in words(text)
    ]
    return [index.word(word, by_letters=bool(rng.random() < 0.5)) for word in spelled]


def weights_of(scores: Scores) -> dict[str, Tensor]:
    """What `TinyText.from_weights` reads."""
    return {
        "scores": scores.table.weight.detach(),
        "bias": scores.bias.detach(),
        "codes": codes(),
    }


def metadata(listed: Sequence[str], colours: Sequence[str]) -> Mapping[str, str]:
    """The names that go with the weights; `listed` and `colours` are offered to people."""
    return {
        "known": json.dumps(known_words()),
        "names": json.dumps(NAMES),
        "tints": json.dumps(TINTS),
        "listed": json.dumps(list(listed)),
        "colours": json.dumps(list(colours)),
    }


def encoder(scores: Scores) -> TinyText:
    """The trained table as the pipeline uses it, with everything on offer."""
    everything = metadata(NAMES[1:], TINTS[1:])
    return TinyText.from_weights(weights_of(scores), everything, like=torch.zeros(()))

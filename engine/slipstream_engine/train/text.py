"""The text stage: scores learned from sentences made of the styles' words and everyday ones.

S styles, N rows of the table, U units of a text, B batch.
"""

import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from slipstream_engine.models.tiny_text import Index, TinyText, Unit, pool, words
from slipstream_engine.train.data import NAMES
from slipstream_engine.train.phrases import FAINTLY, FRAMES, JOINTS, NEUTRAL, PHRASES, STRONGLY

RUN_ROWS = 8192
TEXT_LEN = 4
TEXT_DIM = 64
CODE_SEED = 7
FAINT_SHARE = 0.5
ENDINGS = ("s", "y", "ed", "ing", "ish", "like", "er", "ic", "istic")


@dataclass(frozen=True, slots=True, kw_only=True)
class Lesson:
    """A text and how much of each style it asks for."""

    text: str
    shares: tuple[float, ...]


class Scores(nn.Module):
    """The table while it is learned."""

    def __init__(self, rows: int, styles: int) -> None:
        super().__init__()
        self.table = nn.EmbeddingBag(rows, styles, mode="sum")
        self.bias = nn.Parameter(torch.zeros(styles))
        nn.init.zeros_(self.table.weight)

    def forward(self, texts: Sequence[Sequence[Unit]]) -> Tensor:
        """Logits `[B, S]`; every text has at least one unit."""
        flat = [unit for text in texts for unit in text]
        starts = np.cumsum([0, *(len(unit.rows) for unit in flat[:-1])])
        spoken_US: Tensor = self.table(
            torch.tensor([row for unit in flat for row in unit.rows]),
            torch.from_numpy(starts),
            per_sample_weights=torch.tensor([w for unit in flat for w in unit.weights]),
        )
        parts = torch.split(spoken_US, [len(text) for text in texts])
        pooled = [pool(part_US) for part_US in parts]
        return torch.stack(pooled) + self.bias


def known_words() -> tuple[str, ...]:
    """Every word of the lessons, and the pairs inside a style's phrase."""
    taught = [phrase for phrases in PHRASES.values() for phrase in phrases]
    taught += [*FAINTLY, *STRONGLY]
    everyday = [
        *JOINTS,
        *NEUTRAL,
        *(frame.replace("{n}", "").replace("{}", "") for frame in FRAMES),
    ]
    singles = {word for text in (*taught, *everyday) for word in words(text)}
    pairs = {
        f"{left} {right}"
        for spoken in map(words, taught)
        for left, right in itertools.pairwise(spoken)
    }
    return tuple(sorted(singles | pairs))


def style_codes(count: int = len(NAMES)) -> Tensor:
    """The styles' embeddings, `[S, TEXT_LEN, TEXT_DIM]`: random directions, fixed for good."""
    generator = torch.Generator().manual_seed(CODE_SEED)
    return torch.randn(count, TEXT_LEN, TEXT_DIM, generator=generator)


def lesson(rng: np.random.Generator) -> Lesson:
    """One made-up sentence."""
    shares = np.zeros(len(NAMES))
    kind = rng.random()
    if kind < 0.35:
        text = " ".join(_pick(rng, NEUTRAL) for _ in range(rng.integers(1, 9)))
        if rng.random() < 0.5:
            text += " " + _noise_word(rng)
        shares[0] = 1
        return Lesson(text=text, shares=tuple(shares))
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
    text = _pick(rng, FRAMES).replace("{}", phrase)
    while "{n}" in text:
        text = text.replace("{n}", _pick(rng, NEUTRAL), 1)
    return Lesson(text=text, shares=tuple(shares))


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
    scores = Scores(len(known) + RUN_ROWS, len(NAMES))
    optimiser = torch.optim.AdamW(scores.parameters(), lr=rate, weight_decay=2e-3)
    for step in range(steps):
        rng = np.random.default_rng([seed, 4, step])
        lessons = [lesson(rng) for _ in range(batch)]
        for group in optimiser.param_groups:
            group["lr"] = rate * (1 - step / steps)
        loss = F.cross_entropy(
            scores([_heard(one.text, index, rng) for one in lessons]),
            torch.tensor([one.shares for one in lessons], dtype=torch.float32),
        )
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # torch leaves this one untyped
        optimiser.step()
        if (step + 1) % 500 == 0 or step + 1 == steps:
            print(f"text: step {step + 1}/{steps} loss {float(loss.detach()):.4f}", flush=True)
    return scores


def _heard(text: str, index: Index, rng: np.random.Generator) -> list[Unit]:
    """The text's units; now and then a word is known by its letters only, or has another ending."""
    if rng.random() < 0.6:
        return index.units(text)
    spoken = [
        word + str(rng.choice(ENDINGS)) if len(word) > 3 and rng.random() < 0.3 else word
        for word in words(text)
    ]
    return [index.word(word, by_letters=bool(rng.random() < 0.5)) for word in spoken]


def weights_of(scores: Scores) -> dict[str, Tensor]:
    """What `TinyText.from_weights` reads."""
    return {
        "scores": scores.table.weight.detach(),
        "bias": scores.bias.detach(),
        "codes": style_codes(),
    }


def metadata(listed: Sequence[str]) -> Mapping[str, str]:
    """The names that go with the weights; `listed` are the styles offered to people."""
    return {
        "known": json.dumps(known_words()),
        "names": json.dumps(NAMES),
        "listed": json.dumps(list(listed)),
    }


def encoder(scores: Scores, listed: Sequence[str] = NAMES[1:]) -> TinyText:
    """The trained table as the pipeline uses it."""
    return TinyText.from_weights(weights_of(scores), metadata(listed), like=torch.zeros(()))

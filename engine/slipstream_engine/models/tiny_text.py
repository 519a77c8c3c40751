"""The embedded default's text encoder: words to a mixture of the styles the model knows.

It has no notion of language. Each word, each run of letters inside a word and each pair of neighbours has a row of
scores, one for each style, found by its hash. A word's rows add up; of all words and pairs of a text the one that
speaks most for a style and the one that speaks most against it count; a softmax makes shares of that.
Letters let "sketchy" find "sketch"; a word without any relation to a style says nothing and the picture
stays as it is. The embedding is the mixture of the styles' codes, so mixtures of prompts are linear.

S styles, N rows of the table, U units of a text, L text rows, E columns.
"""

import json
import re
import unicodedata
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

MAX_WORDS = 64
LETTERS = (3, 4, 5)  # lengths of the runs
CAP = 6.0  # the most one word can say
FAINT = 0.06  # a style below this share was not meant


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """A word or a pair of words: rows of the table, and what each counts."""

    rows: tuple[int, ...]
    weights: tuple[float, ...]


def words(text: str) -> list[str]:
    """The words of `text`, lower case, without accents; hyphens join nothing."""
    folded = unicodedata.normalize("NFKD", text.lower())
    plain = "".join(c for c in folded if not unicodedata.combining(c))
    return re.findall(r"[^\W_]+", plain)[:MAX_WORDS]


def units(text: str, rows: int) -> list[Unit]:
    """What `text` looks up in a table of `rows`."""
    spoken = words(text)
    singles = [word_unit(word, rows) for word in spoken]
    pairs = [
        Unit(rows=(_row(f"pair {left} {right}", rows),), weights=(1.0,))
        for left, right in zip(spoken, spoken[1:], strict=False)
    ]
    return singles + pairs


def word_unit(word: str, rows: int, *, whole: bool = True) -> Unit:
    """A word by itself (unless not `whole`) and by the runs of letters in it."""
    padded = f"<{word}>"
    runs = sorted({padded[i : i + n] for n in LETTERS for i in range(len(padded) - n + 1)})
    keys = [f"run {run}" for run in runs]
    weights = [1.0 / len(runs)] * len(runs)
    if whole:
        keys.append(f"word {word}")
        weights.append(1.0)
    return Unit(rows=tuple(_row(key, rows) for key in keys), weights=tuple(weights))


def _row(key: str, rows: int) -> int:
    return zlib.crc32(key.encode()) % rows


def pool(spoken_US: Tensor) -> Tensor:
    """What the units of one text say together, `[S]`, each squashed so that no word outshouts the rest."""
    squashed_US = CAP * torch.tanh(spoken_US / CAP)
    return squashed_US.clamp(min=0).amax(dim=0) + squashed_US.clamp(max=0).amin(dim=0)


class TinyText:
    """A `text.TextEncoder` over a table of scores.

    Args:
        scores_NS: what each row says for each style.
        bias_S: what an empty text says; the first style is the camera's own picture.
        codes_SLE: each style's embedding.
        names: of the styles, in the tables' order.
        listed: those that are offered to people.

    Raises:
        ValueError: if the sizes do not fit each other.
    """

    def __init__(
        self,
        *,
        scores_NS: Tensor,
        bias_S: Tensor,
        codes_SLE: Tensor,
        names: tuple[str, ...],
        listed: tuple[str, ...],
    ) -> None:
        counts = {scores_NS.shape[1], bias_S.shape[0], codes_SLE.shape[0], len(names)}
        if len(counts) != 1:
            raise ValueError(f"the tables are of {sorted(counts)} styles, they must agree")
        if unknown := set(listed) - set(names):
            raise ValueError(f"styles {sorted(unknown)} are listed, but the table has no such names")
        # small, and read on the host one text at a time
        self._scores_NS = scores_NS.float().cpu()
        self._bias_S = bias_S.float().cpu()
        self._codes_SLE = codes_SLE
        self.names = names
        self.styles = listed

    @classmethod
    def from_weights(
        cls, weights: Mapping[str, Tensor], metadata: Mapping[str, str], *, like: Tensor
    ) -> Self:
        """An encoder from a safetensors file's content.

        Args:
            like: embeddings come on this tensor's device and in its dtype.
        """
        return cls(
            scores_NS=weights["scores"],
            bias_S=weights["bias"],
            codes_SLE=weights["codes"].to(like),
            names=tuple(json.loads(metadata["names"])),
            listed=tuple(json.loads(metadata["listed"])),
        )

    @property
    def text_len(self) -> int:
        return self._codes_SLE.shape[1]

    @property
    def text_dim(self) -> int:
        return self._codes_SLE.shape[2]

    def shares(self, text: str) -> Tensor:
        """How much of each style `text` asks for, `[S]`, summing to one."""
        found = units(text, self._scores_NS.shape[0])
        logits_S = self._bias_S
        if found:
            logits_S = logits_S + pool(torch.stack([self._say(unit) for unit in found]))
        shares_S = logits_S.softmax(dim=0)
        shares_S = torch.where(shares_S < FAINT, 0.0, shares_S)
        return shares_S / shares_S.sum()

    def _say(self, unit: Unit) -> Tensor:
        return torch.tensor(unit.weights) @ self._scores_NS[list(unit.rows)]

    def encode(self, text: str) -> Tensor:
        """The embedding of `text`, `[text_len, text_dim]`."""
        shares_S = self.shares(text).to(self._codes_SLE)
        return torch.einsum("s,sle->le", shares_S, self._codes_SLE)

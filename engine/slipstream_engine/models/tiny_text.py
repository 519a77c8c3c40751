"""The embedded default's text encoder: words to a mixture of the styles the model knows.

It has no notion of language. Every word it was taught, every pair of them and every run of letters
inside a word has a row of scores, one for each style. A word's rows add up; of all words and pairs
of a text the one that speaks most for a style and the one that speaks most against it count; a
softmax makes shares of that. Letters let "sketchy" find "sketch"; a word without any relation to a
style says nothing, and the picture stays as it is. The embedding is the mixture of the styles'
codes, so mixtures of prompts are linear.

S styles, N rows of the table, U units of a text, L text rows, E columns.
"""

import itertools
import json
import re
import unicodedata
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import torch
from slipstream_protocol.parameters import Prompts
from torch import Tensor

MAX_WORDS = 64
LETTERS = (3, 4, 5)  # lengths of the runs
CAP = 6.0  # the most one word can say
FAINT = 0.08  # a style below this share was not meant
TOLD = 0.05  # of a mixture; less does not show
NOTHING_NAMED = "no style of the vocabulary is named: the camera's own picture stays"


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


class Index:
    """Where words, pairs and runs of letters stand in a table: known ones first, then hashed runs.

    Args:
        known: words, and pairs of words joined by a space, in the order of their rows.
        rows: of the table in all; what `known` leaves is for the runs.

    Raises:
        ValueError: if no row is left.
    """

    def __init__(self, known: Sequence[str], rows: int) -> None:
        if len(known) >= rows:
            raise ValueError(f"the table has {rows} rows, it must have more than {len(known)}")
        self._row_of = {name: row for row, name in enumerate(known)}
        self._hashed = rows - len(known)

    def units(self, text: str) -> list[Unit]:
        """All that `text` looks up."""
        spoken = words(text)
        pairs = [f"{left} {right}" for left, right in itertools.pairwise(spoken)]
        return [self.word(word) for word in spoken] + [
            Unit(rows=(self._row_of[pair],), weights=(1.0,))
            for pair in pairs
            if pair in self._row_of
        ]

    def word(self, word: str, *, by_letters: bool = False) -> Unit:
        """A word by its runs of letters, and by itself if it is known (unless `by_letters`)."""
        padded = f"<{word}>"
        runs = sorted({padded[i : i + n] for n in LETTERS for i in range(len(padded) - n + 1)})
        rows = [len(self._row_of) + zlib.crc32(run.encode()) % self._hashed for run in runs]
        weights = [1.0 / len(runs)] * len(runs)
        if word in self._row_of and not by_letters:
            rows.append(self._row_of[word])
            weights.append(1.0)
        return Unit(rows=tuple(rows), weights=tuple(weights))


def pool(spoken_US: Tensor) -> Tensor:
    """What the units of one text say together, `[S]`; squashed, so that no word outshouts."""
    squashed_US = CAP * torch.tanh(spoken_US / CAP)
    return squashed_US.clamp(min=0).amax(dim=0) + squashed_US.clamp(max=0).amin(dim=0)


class TinyText:
    """A `text.TextEncoder` over a table of scores.

    Args:
        scores_NS: what each row says for each style.
        bias_S: what an empty text says; the first style is the camera's own picture.
        codes_SLE: each style's embedding.
        known: words and pairs with rows of their own.
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
        known: Sequence[str],
        names: tuple[str, ...],
        listed: tuple[str, ...],
    ) -> None:
        counts = {scores_NS.shape[1], bias_S.shape[0], codes_SLE.shape[0], len(names)}
        if len(counts) != 1:
            raise ValueError(f"the tables are of {sorted(counts)} styles, they must agree")
        if unknown := set(listed) - set(names):
            raise ValueError(
                f"styles {sorted(unknown)} are listed, but the table has no such names"
            )
        # small, and read on the host one text at a time
        self._scores_NS = scores_NS.float().cpu()
        self._bias_S = bias_S.float().cpu()
        self._codes_SLE = codes_SLE
        self._index = Index(known, len(scores_NS))
        self.names = names
        self._listed = listed

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
            known=json.loads(metadata["known"]),
            names=tuple(json.loads(metadata["names"])),
            listed=tuple(json.loads(metadata["listed"])),
        )

    @property
    def text_len(self) -> int:
        return self._codes_SLE.shape[1]

    @property
    def text_dim(self) -> int:
        return self._codes_SLE.shape[2]

    @property
    def styles(self) -> tuple[str, ...]:
        return self._listed

    def shares(self, text: str) -> Tensor:
        """How much of each style `text` asks for, `[S]`, summing to one."""
        logits_S = self._bias_S
        if found := self._index.units(text):
            logits_S = logits_S + pool(torch.stack([self._say(unit) for unit in found]))
        shares_S = logits_S.softmax(dim=0)
        shares_S = torch.where(shares_S < FAINT, 0.0, shares_S)
        return shares_S / shares_S.sum()

    def understood(self, prompts: Prompts) -> str:
        """The styles that `prompts` come to, where they are not simply one of the names."""
        total = sum(prompt.weight for prompt in prompts)
        shares_S = torch.stack([self.shares(p.text) * (p.weight / total) for p in prompts]).sum(0)
        said = [
            (share, name)
            for share, name in zip(shares_S.tolist(), self.names, strict=True)
            if share >= TOLD
        ]
        said.sort(reverse=True)
        asked = [prompt.text.strip().lower() for prompt in prompts]
        names = [name for _, name in said]
        if names == [self.names[0]]:
            return "" if asked == names else NOTHING_NAMED
        if names == asked and names[0] in self._listed:
            return ""
        if len(names) == 1:
            return f"understood as {self._described(names[0])}"
        parts = [f"{share:.0%} {self._described(name)}" for share, name in said]
        return f"understood as {', '.join(parts)}"

    def _described(self, name: str) -> str:
        if name == self.names[0]:
            return "the camera's own picture"
        return name if name in self._listed else f"{name} (not offered: it does not look good)"

    def encode(self, text: str) -> Tensor:
        """The embedding of `text`, `[text_len, text_dim]`."""
        shares_S = self.shares(text).to(self._codes_SLE)
        return torch.einsum("s,sle->le", shares_S, self._codes_SLE)

    def _say(self, unit: Unit) -> Tensor:
        return torch.tensor(unit.weights) @ self._scores_NS[list(unit.rows)]

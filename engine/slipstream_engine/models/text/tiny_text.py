"""The embedded default's text encoder: words to a mixture of the styles the model knows.

It has no notion of language. Every word it was taught, every pair of them and every run of letters
inside a word has a row of scores, one for each style and for each colour. A word's rows add up; of
all words and pairs of a text the one that speaks most for a style and the one that speaks most
against it count; a softmax makes shares of that, one of the styles and one of the colours. Letters
let "sketchy" find "sketch"; a word without any relation to a style says nothing, and the picture
stays as it is. The embedding is the mixture of the styles' codes and that of the colours' on top,
so mixtures of prompts are linear.

S styles, C colours, K both, N rows of the table, U units of a text, L text rows, E columns.
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
from slipstream_protocol.messages import Vocabulary
from slipstream_protocol.parameters import Prompts
from torch import Tensor

MAX_WORDS = 64
LETTERS = (3, 4, 5)  # lengths of the runs
CAP = 6.0  # the most one word can say
LEAST_SHARE = 0.08  # a style below this share was not meant
NAMED_SHARE = 0.05  # of a mixture; less does not show
WHOLE_SHARE = 1 - NAMED_SHARE
NOTHING_NAMED = "no style or colour of the vocabulary is named: the camera's own picture stays"


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


def pool(spoken_UK: Tensor) -> Tensor:
    """What the units of one text say together, `[K]`; squashed, so that no word outshouts."""
    squashed_UK = CAP * torch.tanh(spoken_UK / CAP)
    return squashed_UK.clamp(min=0).amax(dim=0) + squashed_UK.clamp(max=0).amin(dim=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Meaning:
    """What a text asks for: how much of each style and of each colour, each summing to one."""

    styles_S: Tensor
    tints_C: Tensor


class TinyText:
    """A `text.TextEncoder` over a table of scores.

    Args:
        scores_NK: what each row says for each style, then for each colour.
        bias_K: what an empty text says.
        codes_KLE: the embedding of each.
        known: words and pairs with rows of their own.
        names: of the styles, in the tables' order; the first is the camera's own picture.
        tints: of the colours, in the tables' order; the first is none.
        listed, colours: those of them that are offered to people.

    Raises:
        ValueError: if the sizes do not fit each other.
    """

    def __init__(
        self,
        *,
        scores_NK: Tensor,
        bias_K: Tensor,
        codes_KLE: Tensor,
        known: Sequence[str],
        names: tuple[str, ...],
        tints: tuple[str, ...],
        listed: tuple[str, ...],
        colours: tuple[str, ...],
    ) -> None:
        columns = len(names) + len(tints)
        counts = {scores_NK.shape[1], bias_K.shape[0], codes_KLE.shape[0], columns}
        if len(counts) != 1:
            raise ValueError(
                f"the tables are of {sorted(counts)} styles and colours, they must agree"
            )
        if unknown := {*listed, *colours} - {*names, *tints}:
            raise ValueError(f"{sorted(unknown)} are listed, but the table has no such names")
        # small, and read on the host one text at a time
        self._scores_NK = scores_NK.float().cpu()
        self._bias_K = bias_K.float().cpu()
        self._codes_KLE = codes_KLE
        self._index = Index(known, len(scores_NK))
        self.names = names
        self.tints = tints
        self.vocabulary = Vocabulary(styles=listed, colours=colours)

    @classmethod
    def from_weights(
        cls, weights: Mapping[str, Tensor], metadata: Mapping[str, str], *, like: Tensor
    ) -> Self:
        """An encoder from a safetensors file's content.

        Args:
            like: embeddings come on this tensor's device and in its dtype.
        """
        return cls(
            scores_NK=weights["scores"],
            bias_K=weights["bias"],
            codes_KLE=weights["codes"].to(like),
            known=json.loads(metadata["known"]),
            names=tuple(json.loads(metadata["names"])),
            tints=tuple(json.loads(metadata["tints"])),
            listed=tuple(json.loads(metadata["listed"])),
            colours=tuple(json.loads(metadata["colours"])),
        )

    @property
    def text_len(self) -> int:
        return self._codes_KLE.shape[1]

    @property
    def text_dim(self) -> int:
        return self._codes_KLE.shape[2]

    def meaning(self, text: str) -> Meaning:
        """What `text` asks for."""
        logits_K = self._bias_K
        if found := self._index.units(text):
            logits_K = logits_K + pool(torch.stack([self._say(unit) for unit in found]))
        logits_S, logits_C = logits_K.split((len(self.names), len(self.tints)))
        return Meaning(styles_S=_shares(logits_S), tints_C=_shares(logits_C))

    def understood(self, prompts: Prompts) -> str:
        """The styles and colours of `prompts`, where they are not simply one style's name."""
        total = sum(prompt.weight for prompt in prompts)
        meanings = [self.meaning(prompt.text) for prompt in prompts]
        weights_P = torch.tensor([prompt.weight / total for prompt in prompts])
        styles = _told(weights_P @ torch.stack([m.styles_S for m in meanings]), self.names)
        tints = _told(weights_P @ torch.stack([m.tints_C for m in meanings]), self.tints)
        asked = [prompt.text.strip().lower() for prompt in prompts]
        names = [one.name for one in styles]
        is_plain = [one.name for one in tints] == [self.tints[0]]
        if is_plain and names == [self.names[0]]:
            return "" if asked == names else NOTHING_NAMED
        if is_plain and names == asked and names[0] in self.vocabulary.styles:
            return ""
        shown = [one.described(self._described(one.name)) for one in styles]
        shown += [one.described(f"in {one.name}") for one in tints if one.name != self.tints[0]]
        return f"understood as {', '.join(shown)}"

    def _described(self, name: str) -> str:
        if name == self.names[0]:
            return "the camera's own picture"
        return (
            name
            if name in self.vocabulary.styles
            else f"{name} (not offered: it does not look good)"
        )

    def encode(self, text: str) -> Tensor:
        """The embedding of `text`, `[text_len, text_dim]`."""
        meaning = self.meaning(text)
        shares_K = torch.cat([meaning.styles_S, meaning.tints_C]).to(self._codes_KLE)
        return torch.einsum("k,kle->le", shares_K, self._codes_KLE)

    def _say(self, unit: Unit) -> Tensor:
        return torch.tensor(unit.weights) @ self._scores_NK[list(unit.rows)]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Part:
    """A style or a colour in a mixture, and its share."""

    name: str
    share: float

    def described(self, words: str) -> str:
        return words if self.share > WHOLE_SHARE else f"{self.share:.0%} {words}"


def _shares(logits: Tensor) -> Tensor:
    """The softmax, without what was hardly meant."""
    shares = logits.softmax(dim=0)
    shares = torch.where(shares < LEAST_SHARE, 0.0, shares)
    return shares / shares.sum()


def _told(shares: Tensor, names: Sequence[str]) -> list[_Part]:
    """What shows of a mixture, the most of it first."""
    parts = [
        _Part(name=name, share=share)
        for share, name in zip(shares.tolist(), names, strict=True)
        if share >= NAMED_SHARE
    ]
    return sorted(parts, key=lambda part: (part.share, part.name), reverse=True)

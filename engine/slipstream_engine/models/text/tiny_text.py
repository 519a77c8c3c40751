"""The embedded default's text encoder: words to a mixture of the styles the model knows.

It has no notion of language. A table has a row of scores, one for each style and each colour, for
every word of the training texts, every pair of such words, and every n-gram of letters in a word.
The rows of a word add up. Of all words and pairs in a text the highest and the lowest score for a
style count; a softmax over the styles, and one over the colours, turns them into shares. N-grams
let "sketchy" find "sketch"; a word unrelated to any style scores nothing, and the camera's picture
stays as it is. The embedding is the mixture of the styles' codes plus that of the colours' codes,
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
LETTERS = (3, 4, 5)  # lengths of the n-grams
CAP = 6.0  # the highest score of one word
LEAST_SHARE = 0.08  # shares of a text below this are noise
NAMED_SHARE = 0.05  # shares of a mixture below this cannot be seen
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
    """Rows of the table: first one for each known word and pair, then those of hashed n-grams.

    Args:
        known: words, and pairs of words joined by a space, in the order of their rows.
        rows: of the whole table; those after `known` are for the n-grams.

    Raises:
        ValueError: if no row is left.
    """

    def __init__(self, known: Sequence[str], rows: int) -> None:
        if len(known) >= rows:
            raise ValueError(f"the table has {rows} rows, it must have more than {len(known)}")
        self._row_of = {name: row for row, name in enumerate(known)}
        self._hashed = rows - len(known)

    def units(self, text: str) -> list[Unit]:
        """The known and unknown words and the known pairs of `text`."""
        found = words(text)
        pairs = [f"{left} {right}" for left, right in itertools.pairwise(found)]
        return [self.word(word) for word in found] + [
            Unit(rows=(self._row_of[pair],), weights=(1.0,))
            for pair in pairs
            if pair in self._row_of
        ]

    def word(self, word: str, *, by_letters: bool = False) -> Unit:
        """A word as its n-grams, and its own row if it is known (unless `by_letters`)."""
        padded = f"<{word}>"
        ngrams = sorted({padded[i : i + n] for n in LETTERS for i in range(len(padded) - n + 1)})
        rows = [len(self._row_of) + zlib.crc32(ngram.encode()) % self._hashed for ngram in ngrams]
        weights = [1.0 / len(ngrams)] * len(ngrams)
        if word in self._row_of and not by_letters:
            rows.append(self._row_of[word])
            weights.append(1.0)
        return Unit(rows=tuple(rows), weights=tuple(weights))


def pool(scores_UK: Tensor) -> Tensor:
    """The scores of a text from those of its units, `[K]`; each is squashed below `CAP` first."""
    squashed_UK = CAP * torch.tanh(scores_UK / CAP)
    return squashed_UK.clamp(min=0).amax(dim=0) + squashed_UK.clamp(max=0).amin(dim=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Meaning:
    """The share of each style and of each colour in a text; each sums to one."""

    styles_S: Tensor
    tints_C: Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class _Share:
    """A style or a colour in a mixture, and its share."""

    name: str
    share: float

    def described(self, words: str) -> str:
        """`words`, with the percentage unless it is all."""
        return words if self.share > WHOLE_SHARE else f"{self.share:.0%} {words}"


class TinyText:
    """A `TextEncoder` (`conditioning/encoder.py`) over a table of scores.

    Args:
        scores_NK: of each row for each style, then for each colour.
        bias_K: the scores of an empty text.
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
        """The shares of styles and colours in `text`."""
        logits_K = self._bias_K
        if units := self._index.units(text):
            logits_K = logits_K + pool(torch.stack([self._scores_of(unit) for unit in units]))
        logits_S, logits_C = logits_K.split((len(self.names), len(self.tints)))
        return Meaning(styles_S=_shares(logits_S), tints_C=_shares(logits_C))

    def understood(self, prompts: Prompts) -> str:
        """The styles and colours found in `prompts`, for people.

        Empty if the prompts are just the names of what they mean.
        """
        styles, tints = self._shares_of(prompts)
        camera, no_tint = self.names[0], self.tints[0]
        style_names = [style.name for style in styles]
        if [tint.name for tint in tints] == [no_tint]:
            is_listed = style_names == [camera] or style_names[0] in self.vocabulary.styles
            if is_listed and style_names == [prompt.text.strip().lower() for prompt in prompts]:
                return ""
            if style_names == [camera]:
                return NOTHING_NAMED
        found = [style.described(self._description(style.name)) for style in styles]
        found += [tint.described(f"in {tint.name}") for tint in tints if tint.name != no_tint]
        return f"understood as {', '.join(found)}"

    def _shares_of(self, prompts: Prompts) -> tuple[list[_Share], list[_Share]]:
        """The visible styles and colours of a mixture of prompts."""
        meanings = [self.meaning(prompt.text) for prompt in prompts]
        total = sum(prompt.weight for prompt in prompts)
        weights_P = torch.tensor([prompt.weight / total for prompt in prompts])
        styles_S = weights_P @ torch.stack([meaning.styles_S for meaning in meanings])
        tints_C = weights_P @ torch.stack([meaning.tints_C for meaning in meanings])
        return _visible(styles_S, self.names), _visible(tints_C, self.tints)

    def _description(self, style: str) -> str:
        if style == self.names[0]:
            return "the camera's own picture"
        is_listed = style in self.vocabulary.styles
        return style if is_listed else f"{style} (not offered: it does not look good)"

    def encode(self, text: str) -> Tensor:
        """The embedding of `text`, `[text_len, text_dim]`."""
        meaning = self.meaning(text)
        shares_K = torch.cat([meaning.styles_S, meaning.tints_C]).to(self._codes_KLE)
        return torch.einsum("k,kle->le", shares_K, self._codes_KLE)

    def _scores_of(self, unit: Unit) -> Tensor:
        return torch.tensor(unit.weights) @ self._scores_NK[list(unit.rows)]


def _shares(logits: Tensor) -> Tensor:
    """The softmax without shares below `LEAST_SHARE`."""
    shares = logits.softmax(dim=0)
    shares = torch.where(shares < LEAST_SHARE, 0.0, shares)
    return shares / shares.sum()


def _visible(shares: Tensor, names: Sequence[str]) -> list[_Share]:
    """The shares of a mixture that can be seen, the largest first."""
    visible = [
        _Share(name=name, share=share)
        for share, name in zip(shares.tolist(), names, strict=True)
        if share >= NAMED_SHARE
    ]
    return sorted(visible, key=lambda one: (one.share, one.name), reverse=True)

"""From prompts to what the model reads: kept by text, mixed by weight, blended over chunks.

T text rows, E text width.
"""

from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from enum import StrEnum
from typing import Self

import torch
from slipstream_protocol.parameters import Prompts
from torch import Tensor

from slipstream_engine.conditioning.encoder import TextEncoder

KEPT_TEXTS = 256


class Interpolation(StrEnum):
    """How one prompt becomes another."""

    LINEAR = "linear"
    SLERP = "slerp"


Submit = Callable[[str], "Future[Tensor]"]


def encode_inline(encoder: TextEncoder) -> Submit:
    """Encode where it is asked, for encoders that take no time; an error is raised there, too."""

    def submit(text: str) -> "Future[Tensor]":
        embedding: Future[Tensor] = Future()
        embedding.set_result(encoder.encode(text))
        return embedding

    return submit


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Mixture:
    """Prompts on their way to an embedding: the weighted mean of theirs."""

    prompts: Prompts
    embeddings: tuple["Future[Tensor]", ...]

    @property
    def is_ready(self) -> bool:
        """Whether `result` returns, or raises, without waiting."""
        return all(embedding.done() for embedding in self.embeddings)

    def result(self) -> Tensor:
        """The mixture, `[T, E]`; waits for it, and raises what encoding raised."""
        total = sum(prompt.weight for prompt in self.prompts)
        shares = [
            embedding.result() * (prompt.weight / total)
            for prompt, embedding in zip(self.prompts, self.embeddings, strict=True)
        ]
        return torch.stack(shares).sum(dim=0)


class PromptEmbeddings:
    """Embeddings of the texts used lately; each text is encoded once.

    Args:
        submit: starts to encode a text; see `encode_inline` and `TextWorker.submit`.
        kept: texts to keep.
    """

    def __init__(self, submit: Submit, *, kept: int = KEPT_TEXTS) -> None:
        self._submit = submit
        self._kept = kept
        self._by_text: OrderedDict[str, Future[Tensor]] = OrderedDict()

    def of(self, text: str) -> "Future[Tensor]":
        """The embedding of one text, `[T, E]`, now or later; one that failed is tried again."""
        known = self._by_text.get(text)
        if known is None or _has_failed(known):
            self._by_text[text] = self._submit(text)
            if len(self._by_text) > self._kept:
                self._by_text.popitem(last=False)
        self._by_text.move_to_end(text)
        return self._by_text[text]

    def mixture(self, prompts: Prompts) -> Mixture:
        """Begin to encode `prompts`.

        Raises:
            ValueError: if all weights are 0.
        """
        if not any(prompt.weight > 0 for prompt in prompts):
            raise ValueError(
                f"the weights of {len(prompts)} prompts are all 0, at least one must be above 0"
            )
        embeddings = tuple(self.of(prompt.text) for prompt in prompts)
        return Mixture(prompts=prompts, embeddings=embeddings)


def _has_failed(embedding: "Future[Tensor]") -> bool:
    return embedding.done() and (embedding.cancelled() or embedding.exception() is not None)


def blend(here_TE: Tensor, there_TE: Tensor, share: float, method: Interpolation) -> Tensor:
    """The embedding at `share` of the way; slerp turns rows, their lengths follow linearly."""
    if method is Interpolation.LINEAR:
        return torch.lerp(here_TE, there_TE, share)
    length_here, length_there = (x.norm(dim=-1, keepdim=True) for x in (here_TE, there_TE))
    unit_here, unit_there = (
        x / length.clamp(min=1e-8)
        for x, length in ((here_TE, length_here), (there_TE, length_there))
    )
    angle = (unit_here * unit_there).sum(dim=-1, keepdim=True).clamp(-1, 1).acos()
    turned = (
        ((1 - share) * angle).sin() * unit_here + (share * angle).sin() * unit_there
    ) / angle.sin()
    slerped = turned * torch.lerp(length_here, length_there, share)
    # rows that are parallel, opposite or empty (padding) have no plane to turn in
    has_plane = (angle.sin() > 1e-4) & (length_here > 0) & (length_there > 0)
    return torch.where(has_plane, slerped, torch.lerp(here_TE, there_TE, share))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PromptChange:
    """New prompts, and how to get there.

    Args:
        chunks: arrive with this chunk, counted from the first one after the embedding is ready.
    """

    mixture: Mixture
    chunks: int = 1
    method: Interpolation = Interpolation.LINEAR


@dataclass(slots=True, kw_only=True, eq=False)
class PromptTrack:
    """One stream's prompts through time.

    Call `advance` once before each chunk.

    Args:
        prompts: in force, or what the embedding is on its way to.
        embedding_TE: what the last chunk was made with.
        target_TE: where a change leads.
        left: chunks until it is reached; 0 when nothing changes.
    """

    prompts: Prompts
    embedding_TE: Tensor
    target_TE: Tensor
    left: int = 0
    method: Interpolation = Interpolation.LINEAR

    @classmethod
    def at(cls, prompts: Prompts, embedding_TE: Tensor) -> Self:
        """A track that rests on `prompts`."""
        return cls(prompts=prompts, embedding_TE=embedding_TE, target_TE=embedding_TE)

    def head_for(self, change: "PromptChange") -> None:
        """Take up a change whose embedding is ready, from wherever this track is."""
        self.target_TE = change.mixture.result()
        self.prompts = change.mixture.prompts
        self.left = max(change.chunks, 1)
        self.method = change.method

    def advance(self) -> bool:
        """Move to the next chunk; whether the embedding is another one now."""
        if not self.left:
            return False
        # 1 / left of what remains, each time, is an even walk
        arrives = self.left == 1
        self.embedding_TE = (
            self.target_TE
            if arrives
            else blend(self.embedding_TE, self.target_TE, 1 / self.left, self.method)
        )
        self.left -= 1
        return True

"""From prompts to the embedding the model reads: cached by text, mixed by weight, interpolated
over chunks.

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

MAX_TEXTS = 256


class Interpolation(StrEnum):
    """How one prompt becomes another."""

    LINEAR = "linear"
    SLERP = "slerp"


SubmitText = Callable[[str], "Future[Tensor]"]


def encode_inline(encoder: TextEncoder) -> SubmitText:
    """Encode in the caller's thread, for encoders that take no time; errors are raised at once."""

    def submit(text: str) -> "Future[Tensor]":
        embedding: Future[Tensor] = Future()
        embedding.set_result(encoder.encode(text))
        return embedding

    return submit


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Mixture:
    """The weighted mean of the embeddings of several prompts, once they are encoded.

    Args:
        device: where the mean is wanted; the embeddings may be kept elsewhere.
    """

    prompts: Prompts
    embeddings: tuple["Future[Tensor]", ...]
    device: torch.device

    @property
    def is_ready(self) -> bool:
        """Whether `result` returns, or raises, without waiting."""
        return all(embedding.done() for embedding in self.embeddings)

    def result(self) -> Tensor:
        """The mixture, `[T, E]`; waits until it is ready, and raises the errors of encoding."""
        total = sum(prompt.weight for prompt in self.prompts)
        shares = [
            embedding.result().to(self.device, non_blocking=True) * (prompt.weight / total)
            for prompt, embedding in zip(self.prompts, self.embeddings, strict=True)
        ]
        return torch.stack(shares).sum(dim=0)


class PromptEmbeddings:
    """A cache of the embeddings of recent texts, least recently used first out.

    Args:
        submit: starts to encode a text; see `encode_inline` and `TextWorker.submit`.
        device: where streams want them.
        max_texts: how many to keep.
    """

    def __init__(
        self, submit: SubmitText, *, device: torch.device, max_texts: int = MAX_TEXTS
    ) -> None:
        self._submit = submit
        self._device = device
        self._max_texts = max_texts
        self._by_text: OrderedDict[str, Future[Tensor]] = OrderedDict()

    def embedding(self, text: str) -> "Future[Tensor]":
        """The embedding of one text, `[T, E]`; a text that failed is encoded again."""
        known = self._by_text.get(text)
        if known is None or _has_failed(known):
            self._by_text[text] = self._submit(text)
            if len(self._by_text) > self._max_texts:
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
        embeddings = tuple(self.embedding(prompt.text) for prompt in prompts)
        return Mixture(prompts=prompts, embeddings=embeddings, device=self._device)


def _has_failed(embedding: "Future[Tensor]") -> bool:
    return embedding.done() and (embedding.cancelled() or embedding.exception() is not None)


def interpolate(start_TE: Tensor, end_TE: Tensor, share: float, method: Interpolation) -> Tensor:
    """The embedding at `share` of the way from start to end.

    Slerp rotates each row at an even speed; the rows' lengths are interpolated linearly.
    """
    if method is Interpolation.LINEAR:
        return torch.lerp(start_TE, end_TE, share)
    start_length, end_length = (x.norm(dim=-1, keepdim=True) for x in (start_TE, end_TE))
    start_unit, end_unit = (
        x / length.clamp(min=1e-8) for x, length in ((start_TE, start_length), (end_TE, end_length))
    )
    angle = (start_unit * end_unit).sum(dim=-1, keepdim=True).clamp(-1, 1).acos()
    rotated = (
        ((1 - share) * angle).sin() * start_unit + (share * angle).sin() * end_unit
    ) / angle.sin()
    slerped = rotated * torch.lerp(start_length, end_length, share)
    # rows that are parallel, opposite or zero (padding) have no plane to rotate in
    has_plane = (angle.sin() > 1e-4) & (start_length > 0) & (end_length > 0)
    return torch.where(has_plane, slerped, torch.lerp(start_TE, end_TE, share))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PromptChange:
    """New prompts, and the transition to them.

    Args:
        chunks: length of the transition, counted from the first chunk after the embedding is ready.
    """

    mixture: Mixture
    chunks: int = 1
    method: Interpolation = Interpolation.LINEAR


@dataclass(slots=True, kw_only=True, eq=False)
class PromptTrack:
    """One stream's prompts over time.

    Call `advance` once before each chunk.

    Args:
        prompts: in force, or the target of a transition.
        embedding_TE: that of the last chunk.
        target_TE: the embedding at the end of a transition.
        chunks_left: until the target is reached; 0 outside a transition.
    """

    prompts: Prompts
    embedding_TE: Tensor
    target_TE: Tensor
    chunks_left: int = 0
    method: Interpolation = Interpolation.LINEAR

    @classmethod
    def constant(cls, prompts: Prompts, embedding_TE: Tensor) -> Self:
        """A track outside any transition."""
        return cls(prompts=prompts, embedding_TE=embedding_TE, target_TE=embedding_TE)

    def start_change(self, change: PromptChange) -> None:
        """Begin a transition from the present embedding; that of `change` must be ready."""
        self.target_TE = change.mixture.result()
        self.prompts = change.mixture.prompts
        self.chunks_left = max(change.chunks, 1)
        self.method = change.method

    def advance(self) -> bool:
        """Move to the next chunk.

        Returns:
            Whether the embedding changed.
        """
        if not self.chunks_left:
            return False
        # 1 / chunks_left of the remaining way each time makes even steps
        arrives = self.chunks_left == 1
        self.embedding_TE = (
            self.target_TE
            if arrives
            else interpolate(self.embedding_TE, self.target_TE, 1 / self.chunks_left, self.method)
        )
        self.chunks_left -= 1
        return True

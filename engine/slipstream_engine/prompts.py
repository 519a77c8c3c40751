"""From prompts to what the model reads: kept by text, mixed by weight, blended over chunks.

T text rows, E text width.
"""

from collections import OrderedDict
from dataclasses import dataclass
from enum import StrEnum
from typing import Self

import torch
from slipstream_protocol.parameters import Prompts
from torch import Tensor

from slipstream_engine.text import TextEncoder

KEPT_TEXTS = 256


class Interpolation(StrEnum):
    """How one prompt becomes another."""

    LINEAR = "linear"
    SLERP = "slerp"


class Embeddings:
    """Embeddings of the texts used lately; each text is encoded once."""

    def __init__(self, encoder: TextEncoder, *, kept: int = KEPT_TEXTS) -> None:
        self._encoder = encoder
        self._kept = kept
        self._by_text: OrderedDict[str, Tensor] = OrderedDict()

    def of(self, text: str) -> Tensor:
        """The embedding of one text, `[T, E]`."""
        if text not in self._by_text:
            self._by_text[text] = self._encoder.encode(text)
            if len(self._by_text) > self._kept:
                self._by_text.popitem(last=False)
        self._by_text.move_to_end(text)
        return self._by_text[text]

    def mixture(self, prompts: Prompts) -> Tensor:
        """The weighted mean of the prompts' embeddings, `[T, E]`.

        Raises:
            ValueError: if all weights are 0.
        """
        total = sum(prompt.weight for prompt in prompts)
        if total <= 0:
            raise ValueError(
                f"the weights of {len(prompts)} prompts are all 0, at least one must be above 0"
            )
        return torch.stack(
            [self.of(prompt.text) * (prompt.weight / total) for prompt in prompts]
        ).sum(dim=0)


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


@dataclass(slots=True, kw_only=True, eq=False)
class PromptTrack:
    """One stream's prompts through time.

    Call `advance` once before each chunk.

    Args:
        prompts: in force, or on their way.
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

    def head_for(
        self,
        prompts: Prompts,
        target_TE: Tensor,
        *,
        chunks: int = 1,
        method: Interpolation = Interpolation.LINEAR,
    ) -> None:
        """Arrive at `prompts` with the `chunks`-th chunk from now, wherever the embedding is."""
        self.prompts = prompts
        self.target_TE = target_TE
        self.left = max(chunks, 1)
        self.method = method

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

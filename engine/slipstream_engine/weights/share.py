"""The parts of a model that one rank of a group needs; all of it where there is no group."""

import re
from typing import Any, TypeVar

from slipstream_protocol.messages import Vocabulary
from slipstream_protocol.parameters import Prompts
from torch import Tensor, zeros

from slipstream_engine.codec.absent import AbsentCodec
from slipstream_engine.codec.protocol import Codec
from slipstream_engine.config import DitParams, RankShare
from slipstream_engine.models.dit.transformer import CausalDit

StateT = TypeVar("StateT")

_BLOCK = re.compile(r"blocks\.(\d+)\.")


class WantedTensors:
    """Which tensors of the transformer's checkpoint a share needs: its blocks, and what is in none.

    Args:
        share: None for the whole model.
    """

    def __init__(self, share: RankShare | None) -> None:
        self._blocks = None if share is None else frozenset(share.blocks)

    def __call__(self, name: str) -> bool:
        block = _BLOCK.match(name)
        return block is None or self._blocks is None or int(block[1]) in self._blocks


def cut(model: CausalDit, share: RankShare | None) -> CausalDit:
    """The model with the blocks of a share alone; those are loaded, the others never were."""
    if share is not None:
        model.hold_blocks(share.blocks)
    return model


def coding(codec: Codec[StateT], share: RankShare | None) -> Codec[Any]:
    """The codec, where the share needs it."""
    return codec if share is None or share.codes else AbsentCodec.like(codec)


class AbsentText:
    """Stands for the text encoder on all ranks but the leader, who sends embeddings."""

    vocabulary = Vocabulary()

    def __init__(self, params: DitParams, like: Tensor) -> None:
        self.text_len = params.text_len
        self.text_dim = params.text_dim
        self._like = like

    def understood(self, prompts: Prompts) -> str:
        return ""

    def encode(self, text: str) -> Tensor:
        return zeros(1, self.text_dim, device=self._like.device, dtype=self._like.dtype)

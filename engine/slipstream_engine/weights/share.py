"""The parts of a model that one rank of a group needs; all of it where there is no group."""

import re
from typing import Generic, TypeVar

from slipstream_protocol.messages import Vocabulary
from slipstream_protocol.parameters import Prompts
from torch import Tensor, zeros

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
        model.keep_blocks(share.blocks)
    return model


class AbsentCodec(Generic[StateT]):
    """Stands for a codec on a rank that neither encodes nor decodes."""

    def __init__(self, like: Codec[StateT]) -> None:
        self.stride = like.stride
        self.latent_channels = like.latent_channels

    def fresh_state(self) -> None:
        return None

    def reset(self, state: None) -> None:
        return None

    def encode(self, rgb_TCHW: Tensor, state: None) -> Tensor:
        raise AssertionError("this rank does not encode")

    def decode(self, latents_FCHW: Tensor, state: None) -> Tensor:
        raise AssertionError("this rank does not decode")


def coding(codec: Codec[StateT], share: RankShare | None) -> "Codec[StateT] | AbsentCodec[StateT]":
    """The codec, where the share needs it."""
    return codec if share is None or share.codes else AbsentCodec(codec)


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

"""One codec that encodes and another that decodes, with one kind of latents in between.

The reference's fast mode is Wan's encoder with TAEHV's decoder. Both codecs share Wan's latent
space, but not its scale: the model takes Wan's raw means and gives normalised latents, while
TAEHV takes and gives normalised ones (`spec/05` sections 5 and 10).

T frames, F latent frames, C channels, H height, W width.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Generic, Self, TypeVar

import torch
from torch import Tensor

from slipstream_engine.codec.protocol import Codec

EncoderStateT = TypeVar("EncoderStateT")
DecoderStateT = TypeVar("DecoderStateT")

SEPARATOR = "+"


class CodecName(StrEnum):
    """The codecs of the real presets."""

    WAN = "wan"
    TAEHV = "taehv"


@dataclass(frozen=True, slots=True, kw_only=True)
class CodecSides:
    """Which codec encodes and which decodes."""

    encoder: CodecName
    decoder: CodecName

    @classmethod
    def named(cls, name: str) -> Self:
        """The sides of `wan+taehv` (encoder first), or of `wan`, which is both.

        Raises:
            ValueError: if there is no such codec.
        """
        first, plus, second = name.partition(SEPARATOR)
        try:
            return cls(encoder=CodecName(first), decoder=CodecName(second if plus else first))
        except ValueError:
            one = " or ".join(CodecName)
            raise ValueError(
                f"codec is {name!r}, it must be {one}, or an encoder and a decoder like "
                f"{CodecName.WAN}{SEPARATOR}{CodecName.TAEHV}"
            ) from None

    @property
    def used(self) -> tuple[CodecName, ...]:
        """The codecs without repetition."""
        return tuple(dict.fromkeys((self.encoder, self.decoder)))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LatentStatistics:
    """Mean and deviation of every latent channel over the training set."""

    mean_C: Tensor
    std_C: Tensor

    @classmethod
    def of(cls, mean: tuple[float, ...], std: tuple[float, ...], device: torch.device) -> Self:
        return cls(mean_C=torch.tensor(mean, device=device), std_C=torch.tensor(std, device=device))

    def denormalise(self, latents_FCHW: Tensor) -> Tensor:
        """Normalised latents to raw ones, rounded once to the dtype they came in."""
        raw_FCHW = latents_FCHW.float() * self.std_C[:, None, None] + self.mean_C[:, None, None]
        return raw_FCHW.to(latents_FCHW.dtype)


@dataclass(slots=True, kw_only=True, eq=False)
class HybridState(Generic[EncoderStateT, DecoderStateT]):
    """What a stream carries on each side."""

    encoder: EncoderStateT
    decoder: DecoderStateT


class HybridCodec(Generic[EncoderStateT, DecoderStateT]):
    """A `Codec` made of two.

    Args:
        encoder, decoder: may be the same; each is used in one direction only.
        statistics: turns the encoder's latents into raw ones; None where they are already what the
            model takes.

    Raises:
        ValueError: if the two do not make latents of the same shape.
    """

    def __init__(
        self,
        encoder: Codec[EncoderStateT],
        decoder: Codec[DecoderStateT],
        *,
        statistics: LatentStatistics | None = None,
    ) -> None:
        encoded, decoded = ((side.latent_channels, side.stride) for side in (encoder, decoder))
        if encoded != decoded:
            raise ValueError(
                f"the encoder makes {encoded[0]} channels of {encoded[1]} px blocks, the decoder "
                f"takes {decoded[0]} of {decoded[1]} px, choose codecs of one latent space"
            )
        self._encoder = encoder
        self._decoder = decoder
        self._statistics = statistics

    @property
    def stride(self) -> int:
        return self._encoder.stride

    @property
    def latent_channels(self) -> int:
        return self._encoder.latent_channels

    def fresh_state(self) -> HybridState[EncoderStateT, DecoderStateT]:
        return HybridState(encoder=self._encoder.fresh_state(), decoder=self._decoder.fresh_state())

    def reset(self, state: HybridState[EncoderStateT, DecoderStateT]) -> None:
        self._encoder.reset(state.encoder)
        self._decoder.reset(state.decoder)

    def encode(self, rgb_TCHW: Tensor, state: HybridState[EncoderStateT, DecoderStateT]) -> Tensor:
        latents_FCHW = self._encoder.encode(rgb_TCHW, state.encoder)
        if self._statistics is None:
            return latents_FCHW
        return self._statistics.denormalise(latents_FCHW)

    def decode(
        self, latents_FCHW: Tensor, state: HybridState[EncoderStateT, DecoderStateT]
    ) -> Tensor:
        return self._decoder.decode(latents_FCHW, state.decoder)

"""What stands for a codec on a rank that neither encodes nor decodes."""

from dataclasses import dataclass
from typing import Any, Self

from torch import Tensor

from slipstream_engine.codec.protocol import Codec, GuidedCodec


@dataclass(frozen=True, slots=True, kw_only=True)
class AbsentCodec:
    """A `Codec` that can do nothing.

    Args:
        stride, latent_channels, sees_camera: of the codec on other ranks.
    """

    stride: int
    latent_channels: int
    sees_camera: bool

    @classmethod
    def like(cls, codec: Codec[Any]) -> Self:
        return cls(
            stride=codec.stride,
            latent_channels=codec.latent_channels,
            sees_camera=isinstance(codec, GuidedCodec),
        )

    def fresh_state(self) -> None:
        return None

    def reset(self, state: None) -> None:
        return None

    def encode(self, rgb_TCHW: Tensor, state: None) -> Tensor:
        raise AssertionError("this rank does not encode")

    def decode(self, latents_FCHW: Tensor, state: None) -> Tensor:
        raise AssertionError("this rank does not decode")


def sees_camera(codec: Codec[Any]) -> bool:
    """Whether the group's decoder sees the frames that a chunk was encoded from."""
    if isinstance(codec, AbsentCodec):
        return codec.sees_camera
    return isinstance(codec, GuidedCodec)

"""The shapes of TAEHV-class codecs: their stages, and what makes a very small one learn."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

FRAMES_TO_TRIM = 3  # a latent is 4 frames; the first of a stream stands for one


@dataclass(frozen=True, slots=True, kw_only=True)
class TaehvStage:
    """One change of resolution, with the blocks at its small end.

    Args:
        width: channels of its blocks.
        time, space: how many frames, and rows and columns, become one (or one becomes).
        blocks: how many `MemBlock`s.
    """

    width: int
    time: int
    space: int = 2
    blocks: int = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class EncoderParams:
    """The shape of an encoder; the defaults are taew2_1's.

    Args:
        patch: pixels to a side that are folded into channels before the first convolution.
        encoder_width: channels next to the pixels.
        block_convs: convolutions in a block.
        encoder_memory: whether blocks see the time step before.
        slope: of the units below zero. A small codec beside a linear path dies with 0.

    Raises:
        ValueError: if the stages do not make a latent frame of four frames.
    """

    latent_channels: int = 16
    patch: int = 1
    encoder_width: int = 64
    encoder: tuple[TaehvStage, ...] = (
        TaehvStage(width=64, time=2),
        TaehvStage(width=64, time=2),
        TaehvStage(width=64, time=1),
    )
    block_convs: int = 3
    encoder_memory: bool = True
    slope: float = 0.0

    def __post_init__(self) -> None:
        _check_frames("encoder", self.encoder)

    @property
    def stride(self) -> int:
        """Pixels to a latent pixel."""
        return self.patch * math.prod(stage.space for stage in self.encoder)


@dataclass(frozen=True, slots=True, kw_only=True)
class TaehvParams(EncoderParams):
    """The shape of a codec; the defaults are taew2_1.

    Args:
        decoder_width: channels next to the pixels.
        clamp: latents are squashed to this before the decoder's convolutions.

    Raises:
        ValueError: if the two directions do not undo each other.
    """

    decoder: tuple[TaehvStage, ...] = (
        TaehvStage(width=256, time=1),
        TaehvStage(width=128, time=2),
        TaehvStage(width=64, time=2),
    )
    decoder_width: int = 64
    clamp: float = 3.0

    def __post_init__(self) -> None:
        EncoderParams.__post_init__(self)  # super() of no arguments is not for slots
        _check_frames("decoder", self.decoder)
        up = math.prod(stage.space for stage in self.decoder)
        if self.stride != up:
            raise ValueError(f"encoder stages shrink by {self.stride}, decoder stages grow by {up}")


@dataclass(frozen=True, slots=True, kw_only=True)
class CameraDecoderParams:
    """The shape of a decoder that sees the camera.

    Args:
        prompt: length of a prompt's vector.
        kernels: how many weights are mixed beside the shared ones.
        width: units of a layer.
        tint: units of the colours that are laid on at the end.
        slope: of the units below zero.
    """

    prompt: int
    kernels: int
    width: int = 48
    tint: int = 8
    slope: float = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class GuidedParams(EncoderParams):
    """The shape of a codec whose decoder sees the camera.

    Args:
        decoder: of the decoder.
        calm: changes inside a latent's frames that are weaker than this are evened out, pixels
            being 0 to 1: a camera is never still, nor is a small model, and both would pulse.
    """

    decoder: CameraDecoderParams
    calm: float


def _check_frames(name: str, stages: Sequence[TaehvStage]) -> None:
    frames = math.prod(stage.time for stage in stages)
    if frames != FRAMES_TO_TRIM + 1:
        raise ValueError(f"{name} stages make {frames} frames of a latent, it must be 4")


TINY = GuidedParams(
    # 48 keep 27 dB of a fast clip, and at most 0.63 of the gradient energy of four line styles
    latent_channels=96,
    patch=4,
    encoder_width=32,
    encoder=(TaehvStage(width=128, time=4, blocks=1),),
    block_convs=2,
    encoder_memory=False,
    slope=0.1,
    decoder=CameraDecoderParams(prompt=256, kernels=35),
    calm=5 / 255,
)

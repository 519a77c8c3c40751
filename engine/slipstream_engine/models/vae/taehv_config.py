"""The shape of a TAEHV-class codec: its stages, and what makes a very small one learn."""

import math
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
class TaehvParams:
    """The shape of a codec; the defaults are taew2_1.

    Args:
        patch: pixels to a side that are folded into channels before the first convolution.
        encoder_width, decoder_width: channels next to the pixels.
        tail_blocks: blocks in the decoder after its last stage.
        block_convs: convolutions in a block.
        encoder_memory, decoder_memory: whether blocks see the time step before.
        fold: grow by one 1x1 convolution in space as well as time, where taew2_1 doubles pixels
            and convolves.
        slope: of the units below zero. A small codec beside a linear path dies with 0.
        clamp: latents are squashed to this before the decoder's convolutions.
        linear_skip: a linear map of whole pixel blocks beside encoder and decoder.
        calm: changes inside a latent's frames that are weaker than this are evened out, pixels
            being 0 to 1: a small model never says "still" exactly, and its error would pulse.
        deblock: smooth the borders of blocks, which a small model does not quite join.

    Raises:
        ValueError: if the two directions do not undo each other.
    """

    latent_channels: int = 16
    patch: int = 1
    encoder_width: int = 64
    encoder: tuple[TaehvStage, ...] = (
        TaehvStage(width=64, time=2),
        TaehvStage(width=64, time=2),
        TaehvStage(width=64, time=1),
    )
    decoder: tuple[TaehvStage, ...] = (
        TaehvStage(width=256, time=1),
        TaehvStage(width=128, time=2),
        TaehvStage(width=64, time=2),
    )
    decoder_width: int = 64
    tail_blocks: int = 0
    block_convs: int = 3
    encoder_memory: bool = True
    decoder_memory: bool = True
    fold: bool = False
    slope: float = 0.0
    clamp: float = 3.0
    linear_skip: bool = False
    calm: float = 0.0
    deblock: bool = False

    def __post_init__(self) -> None:
        for name, stages in (("encoder", self.encoder), ("decoder", self.decoder)):
            frames = math.prod(stage.time for stage in stages)
            if frames != FRAMES_TO_TRIM + 1:
                raise ValueError(f"{name} stages make {frames} frames of a latent, it must be 4")
        down, up = (math.prod(s.space for s in stages) for stages in (self.encoder, self.decoder))
        if down != up:
            raise ValueError(f"encoder stages shrink by {down}, decoder stages grow by {up}")

    @property
    def stride(self) -> int:
        """Pixels to a latent pixel."""
        return self.patch * math.prod(stage.space for stage in self.encoder)


TINY = TaehvParams(
    # 48 keep 27 dB of a fast clip, and at most 0.63 of the gradient energy of four line styles
    latent_channels=96,
    patch=4,
    encoder_width=32,
    encoder=(TaehvStage(width=128, time=4, blocks=1),),
    decoder=(TaehvStage(width=128, time=4, blocks=1),),
    decoder_width=32,
    tail_blocks=1,
    block_convs=2,
    encoder_memory=False,
    fold=True,
    slope=0.1,
    clamp=4.0,
    linear_skip=True,
    calm=5 / 255,
    deblock=True,
)

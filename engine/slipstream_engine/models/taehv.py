"""A TAEHV-class codec: a small streaming video autoencoder, 4 frames to a latent frame.

One class serves taew2_1 (Wan's latent space, `spec/05` part B) and the embedded default, whose
config adds what makes a very small codec learn: pixel blocks instead of pixels, a linear path
beside the convolutions, and leaky units. Streaming is exact: every memory block keeps the last time
step it saw in the stream's state, so a clip in pieces gives what the clip at once gives.

B batch, T frames, F latent frames, C channels, H height, W width; pixels are RGB in [0, 1] inside
the module and in [-1, 1] at the seam (`codec.py`).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

FRAMES_TO_TRIM = 3  # a latent is 4 frames; the first of a stream stands for one


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
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

    Raises:
        ValueError: if the two directions do not undo each other.
    """

    latent_channels: int = 16
    patch: int = 1
    encoder_width: int = 64
    encoder: tuple[Stage, ...] = (
        Stage(width=64, time=2),
        Stage(width=64, time=2),
        Stage(width=64, time=1),
    )
    decoder: tuple[Stage, ...] = (
        Stage(width=256, time=1),
        Stage(width=128, time=2),
        Stage(width=64, time=2),
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
    latent_channels=96,
    patch=4,
    encoder_width=32,
    encoder=(Stage(width=128, time=4, blocks=1),),
    decoder=(Stage(width=128, time=4, blocks=1),),
    decoder_width=32,
    tail_blocks=1,
    block_convs=2,
    encoder_memory=False,
    fold=True,
    slope=0.1,
    clamp=4.0,
    linear_skip=True,
    calm=5 / 255,
)


@dataclass(slots=True, kw_only=True, eq=False)
class TaehvState:
    """What a stream's codec carries: the last time step each memory block saw, by its index."""

    encoder: dict[int, Tensor] = field(default_factory=dict)
    decoder: dict[int, Tensor] = field(default_factory=dict)
    has_encoded: bool = False
    has_decoded: bool = False


class Clamp(nn.Module):
    """Squash to (-limit, limit)."""

    def __init__(self, limit: float) -> None:
        super().__init__()
        self.limit = limit

    def forward(self, x_BTCHW: Tensor) -> Tensor:
        return torch.tanh(x_BTCHW / self.limit) * self.limit


class Conv(nn.Conv2d):
    """A 3x3 convolution over every frame."""

    def __init__(self, wide_in: int, wide_out: int, *, stride: int = 1, bias: bool = True) -> None:
        super().__init__(wide_in, wide_out, 3, stride=stride, padding=1, bias=bias)

    def forward(self, x_BTCHW: Tensor) -> Tensor:
        return _framewise(super().forward, x_BTCHW)


class MemBlock(nn.Module):
    """A residual block over a frame and the one before it."""

    def __init__(self, width: int, *, convs: int, memory: bool, slope: float) -> None:
        super().__init__()
        self.memory = memory
        layers: list[nn.Module] = [nn.Conv2d(width * (2 if memory else 1), width, 3, padding=1)]
        for _ in range(convs - 1):
            layers += [nn.LeakyReLU(slope), nn.Conv2d(width, width, 3, padding=1)]
        self.conv = nn.Sequential(*layers)
        self.unit = nn.LeakyReLU(slope)

    def forward(self, x_BTCHW: Tensor, past_BTCHW: Tensor | None = None) -> Tensor:
        seen = x_BTCHW if past_BTCHW is None else torch.cat([x_BTCHW, past_BTCHW], dim=2)
        out: Tensor = self.unit(_framewise(self.conv, seen) + x_BTCHW)
        return out


class TPool(nn.Module):
    """`time` frames, oldest first, to one."""

    def __init__(self, wide_in: int, wide_out: int, *, time: int) -> None:
        super().__init__()
        self.time = time
        self.conv = nn.Conv2d(wide_in * time, wide_out, 1, bias=False)

    def forward(self, x_BTCHW: Tensor) -> Tensor:
        return _framewise(
            self.conv, rearrange(x_BTCHW, "b (f t) c h w -> b f (t c) h w", t=self.time)
        )


class TGrow(nn.Module):
    """One frame to `time` of them, oldest first, and to `space` times the rows and columns."""

    def __init__(self, wide_in: int, wide_out: int, *, time: int, space: int = 1) -> None:
        super().__init__()
        self.time = time
        self.space = space
        self.conv = nn.Conv2d(wide_in, wide_out * time * space * space, 1, bias=False)

    def forward(self, x_BTCHW: Tensor) -> Tensor:
        grown = _framewise(self.conv, x_BTCHW)
        return rearrange(
            grown,
            "b f (t c p q) h w -> b (f t) c (h p) (w q)",
            t=self.time,
            p=self.space,
            q=self.space,
        )


class Upsample(nn.Module):
    """Nearest neighbour."""

    def __init__(self, space: int) -> None:
        super().__init__()
        self.space = space

    def forward(self, x_BTCHW: Tensor) -> Tensor:
        wide = x_BTCHW.repeat_interleave(self.space, dim=-1)
        return wide.repeat_interleave(self.space, dim=-2)


class Linear(nn.Module):
    """The linear path: a whole block of pixels, in space and time, to a latent pixel, and back.

    It is fitted to data (principal components), not learned; convolutions add what it lacks.
    """

    def __init__(self, params: TaehvParams) -> None:
        super().__init__()
        self.stride = params.stride
        values = 3 * (FRAMES_TO_TRIM + 1) * params.stride**2
        self.down = nn.Conv2d(values, params.latent_channels, 1)
        self.up = nn.Conv2d(params.latent_channels, values, 1)

    def encode(self, x_BTCHW: Tensor) -> Tensor:
        return _framewise(self.down, blocks(x_BTCHW, self.stride))

    def decode(self, z_BFCHW: Tensor) -> Tensor:
        return rearrange(
            _framewise(self.up, z_BFCHW),
            "b f (t c p q) h w -> b (f t) c (h p) (w q)",
            c=3,
            p=self.stride,
            q=self.stride,
        )


def blocks(x_BTCHW: Tensor, stride: int) -> Tensor:
    """Pixels of 4 frames as one vector for each latent pixel, `[B, F, 12 * stride ** 2, h, w]`."""
    return rearrange(
        x_BTCHW,
        "b (f t) c (h p) (w q) -> b f (t c p q) h w",
        t=FRAMES_TO_TRIM + 1,
        p=stride,
        q=stride,
    )


class Taehv(nn.Module):
    """The codec; see the module and `codec.py` for layouts and the order of calls."""

    def __init__(self, params: TaehvParams) -> None:
        super().__init__()
        self.params = params
        self.encoder = nn.Sequential(*_encoder(params))
        self.decoder = nn.Sequential(*_decoder(params))
        self.linear = Linear(params) if params.linear_skip else None

    @property
    def stride(self) -> int:
        return self.params.stride

    @property
    def latent_channels(self) -> int:
        return self.params.latent_channels

    def fresh_state(self) -> TaehvState:
        return TaehvState()

    def forget(self, state: TaehvState) -> None:
        for kept in (*state.encoder.values(), *state.decoder.values()):
            kept.zero_()
        state.has_encoded = state.has_decoded = False

    def encode(self, rgb_TCHW: Tensor, state: TaehvState) -> Tensor:
        """The next chunk of a stream, as `codec.Codec.encode` says.

        Raises:
            ValueError: if the frames are no whole number of latents, or not of whole latent pixels.
        """
        frames, _, height, width = rgb_TCHW.shape
        first = 0 if state.has_encoded else 1
        if (frames - first) % 4 or frames == first or height % self.stride or width % self.stride:
            raise ValueError(
                f"chunk is {frames} frames of {width}x{height}, it must be {first} + 4k frames "
                f"with sides that are multiples of {self.stride}"
            )
        pixels_TCHW = (rgb_TCHW + 1) / 2
        if not state.has_encoded:
            pixels_TCHW = torch.cat([pixels_TCHW[:1]] * FRAMES_TO_TRIM + [pixels_TCHW])
        state.has_encoded = True
        return self.encode_clip(pixels_TCHW[None], state.encoder)[0]

    def decode(self, latents_FCHW: Tensor, state: TaehvState) -> Tensor:
        """The next chunk of a stream, as `codec.Codec.decode` says."""
        pixels_TCHW = self.decode_clip(latents_FCHW[None], state.decoder)[0]
        if not state.has_decoded:
            pixels_TCHW = pixels_TCHW[FRAMES_TO_TRIM:]
        state.has_decoded = True
        return pixels_TCHW * 2 - 1

    def encode_clip(self, x_BTCHW: Tensor, memory: dict[int, Tensor]) -> Tensor:
        """Frames `[B, 4F, 3, H, W]` in [0, 1] to latents `[B, F, C, h, w]`; renews `memory`."""
        z_BFCHW = _run(self.encoder, x_BTCHW, memory)
        return z_BFCHW if self.linear is None else z_BFCHW + self.linear.encode(x_BTCHW)

    def decode_clip(self, z_BFCHW: Tensor, memory: dict[int, Tensor]) -> Tensor:
        """Latents `[B, F, C, h, w]` to frames `[B, 4F, 3, H, W]`; renews `memory`."""
        x_BTCHW = _run(self.decoder, z_BFCHW, memory)
        if self.linear is not None:
            x_BTCHW = x_BTCHW + self.linear.decode(z_BFCHW)
        return calmed(x_BTCHW, self.params.calm, self.stride) if self.params.calm else x_BTCHW


def calmed(x_BTCHW: Tensor, level: float, stride: int) -> Tensor:
    """Even out the frames of each latent where they hardly change.

    Args:
        level: root mean square change of a block at which half of it is left; far below it nothing
            is, far above it all.
        stride: pixels to a block; between the blocks' middles the share runs evenly.
    """
    batch, frames = x_BTCHW.shape[:2]
    x_NTCHW = rearrange(x_BTCHW, "b (f t) c h w -> (b f) t c h w", t=FRAMES_TO_TRIM + 1)
    mean_N1CHW = x_NTCHW.mean(dim=1, keepdim=True)
    change_NTCHW = x_NTCHW - mean_N1CHW
    power_N1hw = F.avg_pool2d(change_NTCHW.square().mean(dim=(1, 2))[:, None], stride)
    left_N1hw = power_N1hw**2 / (power_N1hw**2 + level**4)
    left_N1HW = F.interpolate(left_N1hw, scale_factor=stride, mode="bilinear")
    calm_NTCHW = mean_N1CHW + left_N1HW[:, None] * change_NTCHW
    return calm_NTCHW.reshape(batch, frames, *x_BTCHW.shape[2:])


def _run(layers: nn.Sequential, x_BTCHW: Tensor, memory: dict[int, Tensor]) -> Tensor:
    for index, layer in enumerate(layers):
        if isinstance(layer, MemBlock) and layer.memory:
            past_BTCHW = _past(x_BTCHW, memory, index)
            x_BTCHW = layer(x_BTCHW, past_BTCHW)
        else:
            x_BTCHW = layer(x_BTCHW)
    return x_BTCHW


def _past(x_BTCHW: Tensor, memory: dict[int, Tensor], index: int) -> Tensor:
    """The frame before each frame; what is kept for the next piece keeps its address."""
    newest = x_BTCHW[:, -1:]
    kept = memory.get(index)
    oldest = torch.zeros_like(newest) if kept is None else kept
    past_BTCHW = torch.cat([oldest, x_BTCHW[:, :-1]], dim=1)
    if kept is None:
        memory[index] = newest.clone()
    else:
        kept.copy_(newest)
    return past_BTCHW


def _encoder(params: TaehvParams) -> list[nn.Module]:
    width = params.encoder_width
    layers: list[nn.Module] = [nn.PixelUnshuffle(params.patch)] if params.patch > 1 else []
    layers += [Conv(3 * params.patch**2, width), nn.LeakyReLU(params.slope)]
    for stage in params.encoder:
        layers += [
            TPool(width, stage.width, time=stage.time),
            Conv(stage.width, stage.width, stride=stage.space, bias=False),
            *_blocks(params, stage.width, stage.blocks, memory=params.encoder_memory),
        ]
        width = stage.width
    return [*layers, Conv(width, params.latent_channels)]


def _decoder(params: TaehvParams) -> list[nn.Module]:
    widths = [stage.width for stage in params.decoder] + [params.decoder_width]
    layers: list[nn.Module] = [
        Clamp(params.clamp),
        Conv(params.latent_channels, widths[0]),
        nn.LeakyReLU(params.slope),
    ]
    for stage, width in zip(params.decoder, widths[1:], strict=True):
        layers += _blocks(params, stage.width, stage.blocks, memory=params.decoder_memory)
        if params.fold:
            layers.append(TGrow(stage.width, width, time=stage.time, space=stage.space))
        else:
            layers += [
                Upsample(stage.space),
                TGrow(stage.width, stage.width, time=stage.time),
                Conv(stage.width, width, bias=False),
            ]
    tail = _blocks(params, params.decoder_width, params.tail_blocks, memory=params.decoder_memory)
    layers += [*tail, nn.LeakyReLU(params.slope), Conv(params.decoder_width, 3 * params.patch**2)]
    return [*layers, nn.PixelShuffle(params.patch)] if params.patch > 1 else layers


def _blocks(params: TaehvParams, width: int, count: int, *, memory: bool) -> list[nn.Module]:
    return [
        MemBlock(width, convs=params.block_convs, memory=memory, slope=params.slope)
        for _ in range(count)
    ]


def _framewise(op: Callable[[Tensor], Tensor], x_BTCHW: Tensor) -> Tensor:
    batch, frames = x_BTCHW.shape[:2]
    return rearrange(op(x_BTCHW.flatten(0, 1)), "(b t) c h w -> b t c h w", b=batch, t=frames)

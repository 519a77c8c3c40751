"""The Wan 2.1 video autoencoder, streaming: clips come in pieces of any size.

A stream's state carries what the causal convolutions need of its past. 1 + 4 k frames become 1 + k
latent frames, each side 8 times smaller. Keys, shapes and formulas are those of `Wan2.1_VAE.pth`
(`spec/05` part A).

B batch, T frames, F latent frames, H rows, W columns, C channels.
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import Self

import torch
from einops import rearrange
from torch import Tensor, nn

from slipstream_engine.models.vae.causal_conv import (
    CausalConv,
    CausalState,
    ConvStateSlots,
    PointConv,
)
from slipstream_engine.models.vae.wan_vae_blocks import (
    KERNEL,
    Middle,
    ResidualBlock,
    VaeHead,
    WanDownsample,
    WanUpsample,
)

# statistics of the 16 latent channels over the training set (`spec/05` section 5)
LATENT_MEAN = (
    *(-0.7571, -0.7089, -0.9113, 0.1075, -0.1745, 0.9653, -0.1517, 1.5508),
    *(0.4134, -0.0715, 0.5517, -0.3632, -0.1922, -0.9497, 0.2503, -0.2921),
)
LATENT_STD = (
    *(2.8184, 1.4541, 2.3275, 2.6558, 1.2196, 1.7708, 2.6052, 2.0743),
    *(3.2687, 2.1526, 2.8652, 1.5579, 1.6382, 1.1253, 2.8251, 1.9160),
)
FRAMES_PER_LATENT = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class WanVaeConfig:
    """Sizes of the autoencoder; the defaults are those of Wan 2.1.

    Args:
        channels: channels of the first level.
        latent_channels: at most 16, the number of channels with known statistics.
        multipliers: channels of each level, in units of `channels`.
        blocks: residual blocks of an encoder level; a decoder level has one more.
        temporal: whether the encoder halves time after each level but the last; the decoder
            doubles it where the encoder has halved it.

    Raises:
        ValueError: if there are more latent channels than known statistics, or `temporal` does not
            match the levels.
    """

    channels: int = 96
    latent_channels: int = 16
    multipliers: tuple[int, ...] = (1, 2, 4, 4)
    blocks: int = 2
    temporal: tuple[bool, ...] = (False, True, True)

    def __post_init__(self) -> None:
        if self.latent_channels > len(LATENT_MEAN):
            raise ValueError(
                f"latent_channels is {self.latent_channels}, it must be at most {len(LATENT_MEAN)}"
            )
        if len(self.temporal) != len(self.multipliers) - 1 or sum(self.temporal) != 2:
            raise ValueError(
                f"temporal is {self.temporal} for {len(self.multipliers)} levels, it must name "
                "every level but the last and halve time twice"
            )


class Encoder(nn.Module):
    """Frames to the mean and log variance of their latents, before the last 1x1x1 convolution."""

    def __init__(self, config: WanVaeConfig) -> None:
        super().__init__()
        slots = ConvStateSlots()
        widths = [config.channels * m for m in (1, *config.multipliers)]
        self.conv1 = CausalConv(3, widths[0], KERNEL, slots)
        self.downsamples = nn.ModuleList()
        for level, (width_in, width) in enumerate(pairwise(widths)):
            for block in range(config.blocks):
                channels_in = width if block else width_in
                self.downsamples.append(ResidualBlock(channels_in, width, slots))
            if level < len(config.temporal):
                temporal = config.temporal[level]
                self.downsamples.append(WanDownsample(width, slots, temporal=temporal))
        self.middle = Middle(widths[-1], slots)
        self.head = VaeHead(widths[-1], 2 * config.latent_channels, slots)
        self.slots = slots.count

    def forward(self, x_BTHWC: Tensor, state: CausalState) -> Tensor:
        x_BTHWC = self.conv1.forward(x_BTHWC, state)
        for layer in (*self.downsamples, *self.middle):
            x_BTHWC = layer(x_BTHWC, state)
        return self.head.forward(x_BTHWC, state)


class Decoder(nn.Module):
    """Latents, after the first 1x1x1 convolution, to frames; its layers mirror the encoder's."""

    def __init__(self, config: WanVaeConfig) -> None:
        super().__init__()
        slots = ConvStateSlots()
        width_in = config.channels * config.multipliers[-1]
        self.conv1 = CausalConv(config.latent_channels, width_in, KERNEL, slots)
        self.middle = Middle(width_in, slots)
        self.upsamples = nn.ModuleList()
        temporal = (*reversed(config.temporal), None)
        for multiplier, doubles_time in zip(reversed(config.multipliers), temporal, strict=True):
            width = config.channels * multiplier
            for _ in range(config.blocks + 1):
                self.upsamples.append(ResidualBlock(width_in, width, slots))
                width_in = width
            if doubles_time is not None:
                self.upsamples.append(WanUpsample(width, slots, temporal=doubles_time))
                width_in = width // 2
        self.head = VaeHead(width_in, 3, slots)
        self.slots = slots.count

    def forward(self, x_BTHWC: Tensor, state: CausalState) -> Tensor:
        x_BTHWC = self.conv1.forward(x_BTHWC, state)
        for layer in (*self.middle, *self.upsamples):
            x_BTHWC = layer(x_BTHWC, state)
        return self.head.forward(x_BTHWC, state)


@dataclass(slots=True, kw_only=True)
class WanVaeState:
    """A stream's state: encoder and decoder each have their own."""

    encoder: CausalState
    decoder: CausalState


class WanVae(nn.Module):
    """A `Codec`: encoder and decoder with the latent statistics between them.

    Args:
        normalize_encoded: `encode` returns normalised latents, of mean 0 and deviation 1 over the
            training set. The reference does not normalise them (`spec/05` section 5).
    """

    latent_mean_C: Tensor
    latent_std_C: Tensor

    def __init__(self, config: WanVaeConfig, *, normalize_encoded: bool = False) -> None:
        super().__init__()
        self.config = config
        self.normalize_encoded = normalize_encoded
        self.is_fused = False  # whether states of new streams use the fused operator
        latent = config.latent_channels
        self.encoder = Encoder(config)
        self.conv1 = PointConv(2 * latent, 2 * latent)
        self.conv2 = PointConv(latent, latent)
        self.decoder = Decoder(config)
        for name, values in (("latent_mean_C", LATENT_MEAN), ("latent_std_C", LATENT_STD)):
            # no checkpoint has them, so they are on the CPU even if the module is on meta
            self.register_buffer(
                name, torch.tensor(values[:latent], device="cpu"), persistent=False
            )

    @property
    def stride(self) -> int:
        """Pixels to a latent pixel, in each direction."""
        return int(2 ** len(self.config.temporal))

    @property
    def latent_channels(self) -> int:
        return self.config.latent_channels

    def fresh_state(self) -> WanVaeState:
        """The state of a new stream."""
        return WanVaeState(
            encoder=CausalState(self.encoder.slots, is_fused=self.is_fused),
            decoder=CausalState(self.decoder.slots, is_fused=self.is_fused),
        )

    def reset(self, state: WanVaeState) -> None:
        """Make a state equal to a fresh one, in place."""
        state.encoder.reset()
        state.decoder.reset()

    def channels_last(self) -> Self:
        """Store the kernels in the activations' layout, so that no call has to convert them."""
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Conv3d):
                is_flat = isinstance(module, nn.Conv2d)
                layout = torch.channels_last if is_flat else torch.channels_last_3d
                kernel = module.weight
                module.weight = nn.Parameter(
                    kernel.detach().to(memory_format=layout), kernel.requires_grad
                )
        return self

    @torch.no_grad()
    def encode(self, rgb_TCHW: Tensor, state: WanVaeState) -> Tensor:
        """Encode the next frames of a stream.

        Args:
            rgb_TCHW: `[T, 3, H, W]` in [-1, 1]; T is 1 + 4 k at the start, 4 k later.

        Returns:
            The means `[F, C, H / 8, W / 8]`; F is 1 + k at the start, k later.

        Raises:
            ValueError: if T, H or W is not allowed.
        """
        self._check(rgb_TCHW, started=state.encoder.started)
        if not state.encoder.started and len(rgb_TCHW) > 1:
            # the same in two pieces, which takes no more memory than a later chunk
            pieces = rgb_TCHW.split([1, len(rgb_TCHW) - 1])
            return torch.cat([self.encode(piece, state) for piece in pieces])
        x_BTHWC = rearrange(rgb_TCHW, "t c h w -> 1 t h w c")
        moments = self.conv1.forward(self.encoder.forward(x_BTHWC, state.encoder))
        state.encoder.started = True
        mean_BTHWC = moments[..., : self.latent_channels]
        if self.normalize_encoded:
            mean_BTHWC = (mean_BTHWC - self.latent_mean_C) / self.latent_std_C
        return rearrange(mean_BTHWC.to(rgb_TCHW.dtype), "1 t h w c -> t c h w")

    @torch.no_grad()
    def decode(self, latents_FCHW: Tensor, state: WanVaeState) -> Tensor:
        """Decode the next latents of a stream.

        Args:
            latents_FCHW: normalised latents `[F, C, h, w]`, F at least 1.

        Returns:
            RGB `[T, 3, 8 h, 8 w]`, about [-1, 1] but not clamped; T is 4 F - 3 at the start, 4 F
            later.
        """
        if not state.decoder.started and len(latents_FCHW) > 1:
            pieces = latents_FCHW.split([1, len(latents_FCHW) - 1])
            return torch.cat([self.decode(piece, state) for piece in pieces])
        normal_BTHWC = rearrange(latents_FCHW, "f c h w -> 1 f h w c")
        z_BTHWC = normal_BTHWC * self.latent_std_C + self.latent_mean_C
        x_BTHWC = self.conv2.forward(z_BTHWC.to(latents_FCHW.dtype))
        rgb_BTHWC = self.decoder.forward(x_BTHWC, state.decoder)
        state.decoder.started = True
        return rearrange(rgb_BTHWC, "1 t h w c -> t c h w")

    def _check(self, rgb_TCHW: Tensor, *, started: bool) -> None:
        frames, _, height, width = rgb_TCHW.shape
        lone_frames = 0 if started else 1  # the first frame has a latent frame to itself
        if frames < 1 or (frames - lone_frames) % FRAMES_PER_LATENT:
            rule = "a multiple of 4" if started else "1 + a multiple of 4 at a stream's start"
            raise ValueError(f"a piece has {frames} frames, it must have {rule}")
        if height % self.stride or width % self.stride:
            raise ValueError(
                f"frames are {width}x{height}, both sides must be multiples of {self.stride}"
            )

"""The Wan 2.1 video autoencoder, streaming: in pieces of any size, the past carried by the stream.

B batch, T frames, H rows, W columns, C channels. 1 + 4 k frames are 1 + k latent frames, 8 times
smaller each way.
Keys, shapes and formulas are those of `Wan2.1_VAE.pth` (`spec/05` part A).
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import cast

import torch
from torch import Tensor, nn

from slipstream_engine.models.causal import CausalConv, CausalState, PointConv, Slots
from slipstream_engine.models.wan_vae_blocks import (
    KERNEL,
    Downsample,
    Head,
    Middle,
    ResidualBlock,
    Upsample,
)

# of the 16 latent channels over the training set (`spec/05` section 5)
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
        channels: of the first level.
        latent_channels: at most 16, the channels whose statistics are known.
        multipliers: channels of each level, in units of `channels`.
        blocks: residual blocks of an encoder level; a decoder level has one more.
        temporal: whether time is halved (encoder) after each level but the last.

    Raises:
        ValueError: if the latent has more channels than are known, or the levels do not fit.
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
        slots = Slots()
        widths = [config.channels * m for m in (1, *config.multipliers)]
        self.conv1 = CausalConv(3, widths[0], KERNEL, slots)
        self.downsamples = nn.ModuleList()
        for level, (width_in, width) in enumerate(pairwise(widths)):
            for block in range(config.blocks):
                channels_in = width if block else width_in
                self.downsamples.append(ResidualBlock(channels_in, width, slots))
            if level < len(config.temporal):
                temporal = config.temporal[level]
                self.downsamples.append(Downsample(width, slots, temporal=temporal))
        self.middle = Middle(widths[-1], slots)
        self.head = Head(widths[-1], 2 * config.latent_channels, slots)
        self.slots = slots.count

    def forward(self, x_BTHWC: Tensor, state: CausalState) -> Tensor:
        x_BTHWC = self.conv1.forward(x_BTHWC, state)
        for layer in (*self.downsamples, *self.middle):
            x_BTHWC = layer(x_BTHWC, state)
        return self.head.forward(x_BTHWC, state)


class Decoder(nn.Module):
    """Latents, after the first 1x1x1 convolution, to frames: the encoder's mirror."""

    def __init__(self, config: WanVaeConfig) -> None:
        super().__init__()
        slots = Slots()
        width_in = config.channels * config.multipliers[-1]
        self.conv1 = CausalConv(config.latent_channels, width_in, KERNEL, slots)
        self.middle = Middle(width_in, slots)
        self.upsamples = nn.ModuleList()
        temporal = (*reversed(config.temporal), None)
        for multiplier, doubles in zip(reversed(config.multipliers), temporal, strict=True):
            width = config.channels * multiplier
            for _ in range(config.blocks + 1):
                self.upsamples.append(ResidualBlock(width_in, width, slots))
                width_in = width
            if doubles is not None:
                self.upsamples.append(Upsample(width, slots, temporal=doubles))
                width_in = width // 2
        self.head = Head(width_in, 3, slots)
        self.slots = slots.count

    def forward(self, x_BTHWC: Tensor, state: CausalState) -> Tensor:
        x_BTHWC = self.conv1.forward(x_BTHWC, state)
        for layer in (*self.middle, *self.upsamples):
            x_BTHWC = layer(x_BTHWC, state)
        return self.head.forward(x_BTHWC, state)


class WanVae(nn.Module):
    """Encoder and decoder with the latent statistics between them.

    A stream in pieces, for either direction::

        state = vae.encoder_state()
        latents = vae.encode(first_1_plus_4k_frames, state)
        latents = vae.encode(next_4k_frames, state)

    gives what one call with all the frames would give.
    """

    latent_mean_C: Tensor
    latent_std_C: Tensor

    def __init__(self, config: WanVaeConfig) -> None:
        super().__init__()
        self.config = config
        latent = config.latent_channels
        self.encoder = Encoder(config)
        self.conv1 = PointConv(2 * latent, 2 * latent)
        self.conv2 = PointConv(latent, latent)
        self.decoder = Decoder(config)
        for name, values in (("latent_mean_C", LATENT_MEAN), ("latent_std_C", LATENT_STD)):
            # not from a checkpoint, so real even where the module is built on the meta device
            self.register_buffer(
                name, torch.tensor(values[:latent], device="cpu"), persistent=False
            )

    def encoder_state(self) -> CausalState:
        """The start of a stream to encode."""
        return CausalState(self.encoder.slots)

    def decoder_state(self) -> CausalState:
        """The start of a stream to decode."""
        return CausalState(self.decoder.slots)

    def encode(
        self, frames_BTCHW: Tensor, state: CausalState, *, normalize: bool = False
    ) -> Tensor:
        """The latents of the next frames.

        Args:
            frames_BTCHW: RGB in [-1, 1], `[B, T, 3, H, W]`; T is 1 + 4 k at the start of a stream,
                4 k later.
            normalize: to mean 0 and deviation 1 over the training set. The reference feeds its
                network latents that are not (`spec/05` section 5).

        Returns:
            The means `[B, T', C, H / 8, W / 8]`, T' = 1 + k at the start, k later.

        Raises:
            ValueError: if T, H or W does not fit.
        """
        self._check(frames_BTCHW, state)
        x = self.encoder.forward(frames_BTCHW.permute(0, 1, 3, 4, 2), state)
        state.started = True
        mean_BTHWC = self.conv1(x)[..., : self.config.latent_channels]
        if normalize:
            mean_BTHWC = ((mean_BTHWC - self.latent_mean_C) / self.latent_std_C).to(x.dtype)
        return cast(Tensor, mean_BTHWC.permute(0, 1, 4, 2, 3))

    def decode(self, latents_BTCHW: Tensor, state: CausalState) -> Tensor:
        """The frames of the next latents.

        Args:
            latents_BTCHW: normalised latents `[B, T, C, H, W]`, T at least 1.

        Returns:
            RGB `[B, T', 3, 8 H, 8 W]`, about [-1, 1] but not clamped; T' = 4 T - 3 at the start,
            4 T later.
        """
        z_BTHWC = latents_BTCHW.permute(0, 1, 3, 4, 2) * self.latent_std_C + self.latent_mean_C
        x = self.decoder.forward(self.conv2(z_BTHWC.to(latents_BTCHW.dtype)), state)
        state.started = True
        return x.permute(0, 1, 4, 2, 3)

    def _check(self, frames_BTCHW: Tensor, state: CausalState) -> None:
        frames, _, height, width = frames_BTCHW.shape[1:]
        alone = 0 if state.started else 1
        if frames < 1 or (frames - alone) % FRAMES_PER_LATENT:
            rule = "a multiple of 4" if state.started else "1 + a multiple of 4 at a stream's start"
            raise ValueError(f"a piece has {frames} frames, it must have {rule}")
        scale = 2 ** len(self.config.temporal)
        if height % scale or width % scale:
            raise ValueError(
                f"frames are {width}x{height}, both sides must be multiples of {scale}"
            )

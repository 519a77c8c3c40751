"""The decoder that draws from the camera: latents and prompt say how, the camera's frames where.

A latent of one block of pixels cannot say where an edge lies in each of four frames; the camera's
frames can. So every pixel is drawn by a small network from what is measured of the camera's frame
around it (`camera_measures.py`) and from the colours that the latents say their blocks to have,
interpolated between them: no grid can come of it. Each place of a block begins with a bias of its
own: cells and strokes that repeat from block to block come from there. At the end come colours,
which are laid on any style alike.

A style is a drawing of its own, and to mix the weights costs no time at all: every one is shared by
all, plus a sum of others that a linear map of the prompt weighs.

B batch, T frames, C channels, H W size, M measures, P pixels of a band, E length of a prompt's
vector, K weights to mix.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from slipstream_engine.models.vae.camera_measures import MEASURES, STEPPED, enlarged, measures_of
from slipstream_engine.models.vae.taehv_config import CameraDecoderParams

_GREY = 0.5
_RGB = 3


class MixedLinear(nn.Module):
    """A linear map whose weights are mixed anew for each prompt."""

    def __init__(self, width_in: int, width_out: int, *, kernels: int, places: int = 1) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(width_out, width_in))
        self.bias = nn.Parameter(torch.zeros(width_out, places))
        self.mixed_weight = nn.Parameter(torch.zeros(kernels, width_out, width_in))
        self.mixed_bias = nn.Parameter(torch.zeros(kernels, width_out, places))

    def start(self, slope: float) -> None:
        """Random weights, the same for all prompts."""
        nn.init.kaiming_normal_(self.weight, a=slope)

    def mixed(self, mix_K: Tensor) -> tuple[Tensor, Tensor]:
        """The weights, and the bias of every place."""
        weight = self.weight + torch.tensordot(mix_K, self.mixed_weight, 1)
        return weight, self.bias + torch.tensordot(mix_K, self.mixed_bias, 1)


class CameraDecoder(nn.Module):
    """See the module."""

    def __init__(self, params: CameraDecoderParams, *, stride: int) -> None:
        super().__init__()
        self.params = params
        self._stride = stride
        seen, width, kernels = MEASURES + _RGB, params.width, params.kernels
        self.unit = nn.LeakyReLU(params.slope, inplace=True)
        self.mix = nn.Linear(params.prompt, kernels, bias=False)
        self.first = MixedLinear(seen, width, kernels=kernels, places=stride**2)
        self.second = MixedLinear(width, width, kernels=kernels)
        self.drawn = MixedLinear(width, _RGB, kernels=kernels)
        self.plain = MixedLinear(seen, _RGB, kernels=kernels)
        self.tint = MixedLinear(_RGB, params.tint, kernels=kernels)
        self.tinted = MixedLinear(params.tint, _RGB, kernels=kernels)

    @torch.no_grad()
    def start(self, codes_KE: Tensor) -> None:
        """The weights before training: what is drawn is the colours of the latents.

        Args:
            codes_KE: vectors of prompts, of which each is to have weights of its own.
        """
        self.mix.weight.zero_()
        # of a mean over the prompt's numbers, so that no step of training moves it far
        self.mix.weight[: len(codes_KE)] = self.params.prompt * torch.linalg.pinv(codes_KE).T
        for layer in (self.first, self.second, self.tint):
            layer.start(self.params.slope)
        self.first.weight[:, MEASURES - STEPPED : MEASURES] = 0  # few styles have use for steps
        self.plain.weight[:, MEASURES:] = torch.eye(_RGB)

    def forward(self, colours_BTChw: Tensor, camera_BTCHW: Tensor, prompt_BE: Tensor) -> Tensor:
        """Frames `[B, T, 3, H, W]`, about [0, 1].

        Args:
            colours_BTChw: the mean colour of every block of every frame, in [0, 1].
            camera_BTCHW: the camera's frames, in [0, 1].
            prompt_BE: one prompt's vector for each sample.
        """
        mix_BK = self.mix(prompt_BE / self.params.prompt)
        return torch.stack(
            [self._draw(*one) for one in zip(colours_BTChw, camera_BTCHW, mix_BK, strict=True)]
        )

    def _draw(self, colours_TChw: Tensor, camera_TCHW: Tensor, mix_K: Tensor) -> Tensor:
        pen = self.pen(mix_K, camera_TCHW.shape[-1])
        # a frame at a time: all that is measured of it fits a processor's cache
        frames = [
            pen.draw(self.seen(*one))
            for one in zip(colours_TChw.split(1), camera_TCHW.split(1), strict=True)
        ]
        return torch.cat(frames)

    def seen(self, colours_TChw: Tensor, camera_TCHW: Tensor) -> Tensor:
        """All that frames are drawn from, `[T, M + 3, H, W]`."""
        told_TCHW = enlarged(colours_TChw, self._stride) - _GREY
        return torch.cat([*measures_of(camera_TCHW, self._stride), told_TCHW], dim=1)

    def pen(self, mix_K: Tensor, width_px: int) -> "Pen":
        """The weights of one prompt, for frames of this width."""
        side = self._stride
        first, places = self.first.mixed(mix_K)
        second, second_bias = self.second.mixed(mix_K)
        drawn, drawn_bias = self.drawn.mixed(mix_K)
        plain, plain_bias = self.plain.mixed(mix_K)
        tinted, tinted_bias = self.tinted.mixed(mix_K)
        one = torch.ones_like(places[:1])
        past = (plain_bias + drawn_bias).expand(-1, side**2)
        starts = torch.cat([places, one, past]).unflatten(1, (side, side))
        return Pen(
            side=side,
            unit=self.unit,
            first=torch.cat([first, torch.zeros_like(first[:1]), plain]),
            starts=starts.repeat(1, 1, width_px // side).flatten(1),
            second=torch.cat([second, second_bias], dim=1),
            drawn=drawn,
            tint=self.tint.mixed(mix_K),
            tinted=tinted,
            constant=tinted_bias[..., None] + _GREY,
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Pen:
    """The weights of one prompt, put together so that few operations draw.

    Args:
        side: pixels to a block.
        first: to the first units, to a unit that is always one, and past all units.
        starts: the bias of `first` for every pixel of a row of blocks.
        second: the last column is its bias, of the unit that is one.
        tint: a map and its bias.
        constant: added to every pixel at the end.
    """

    side: int
    unit: nn.Module
    first: Tensor
    starts: Tensor
    second: Tensor
    drawn: Tensor
    tint: tuple[Tensor, Tensor]
    tinted: Tensor
    constant: Tensor

    def draw(self, seen_1MHW: Tensor) -> Tensor:
        """One frame, `[1, 3, H, W]`."""
        tint, tint_bias = self.tint
        bands = []
        for seen_MyW in seen_1MHW[0].split(self.side, dim=1):
            started = torch.addmm(self.starts, self.first, seen_MyW.flatten(1))
            past = started[-_RGB:]
            x = self.unit(self.second @ self.unit(started[:-_RGB]))
            x = torch.addmm(past, self.drawn, x)
            shade = self.unit(torch.addmm(tint_bias, tint, x))
            bands.append(torch.addmm(x, self.tinted, shade).unflatten(1, (self.side, -1)))
        return torch.cat(bands, dim=1).add_(self.constant)[None]

"""Flow matching: timesteps, sigmas, and steps between noise and picture.

A timestep is an integer 0 to 1000; its sigma is that of the nearest entry of a warped table.
Everything that depends on the data stays on the device: a timestep may come from the noise
controller, which the host never reads. Source: `spec/03` sections 1 to 5.
"""

import torch
from torch import Tensor

from slipstream_engine.config import ScheduleParams
from slipstream_engine.models.dit.rope import exact_dtype

TIMESTEPS = 1000
FALL = 50  # between the timesteps of a chunk whose noise scale is too low for the step list


def sigma_table(
    *,
    shift: float,
    entries: int,
    sigma_min: float = 0.0,
    strength: float = 1.0,
    drops_last: bool = True,
) -> Tensor:
    """The warped noise levels, falling.

    Args:
        shift: how far the warp goes towards high noise.
        strength: share of the way from the least to full noise at which the table begins.
        drops_last: compute one entry more and leave out the last one.

    Returns:
        `[entries]`, float32.
    """
    start = sigma_min + (1.0 - sigma_min) * strength
    u = torch.linspace(start, sigma_min, entries + drops_last)[:entries]
    return shift * u / (1 + (shift - 1) * u)


def nearest(table: Tensor, timesteps: Tensor) -> Tensor:
    """Index of the table's timestep nearest to each of `timesteps`, the first one on a tie."""
    distance = (table - timesteps[..., None]).abs()
    is_least = distance == distance.amin(dim=-1, keepdim=True)
    index = torch.arange(len(table), device=table.device)
    return torch.where(is_least, index, len(table)).amin(dim=-1)


def add_noise(clean: Tensor, noise: Tensor, sigma: Tensor) -> Tensor:
    """Noise `clean` to level `sigma`, in sigma's float32, rounded to the noise's dtype."""
    return ((1 - sigma) * clean + sigma * noise).to(noise.dtype)


def mix_noise(latents: Tensor, noise: Tensor, scale: Tensor) -> Tensor:
    """The first step's input: a chunk's latents with a share `scale` (float64, 0-dim) of noise.

    Both products and the sum are rounded to the latents' dtype, the scale is not.
    """
    dtype = latents.dtype
    return (noise.float() * scale.float()).to(dtype) + (latents.float() * (1 - scale).float()).to(
        dtype
    )


def follow(x: Tensor, flow: Tensor, sigma: Tensor, sigma_to: Tensor | float = 0.0) -> Tensor:
    """Follow the flow from one noise level to another; at level 0 it gives the clean latents.

    Computed in float64 where the device has it, rounded to the dtype of `x`.
    """
    exact = exact_dtype(x.device)
    return (x.to(exact) + flow.to(exact) * (sigma_to - sigma.to(exact))).to(x.dtype)


class FlowSchedule:
    """A model's timesteps and their sigmas, on its device."""

    def __init__(self, params: ScheduleParams, device: torch.device) -> None:
        self.params = params
        sigmas = sigma_table(shift=params.shift, entries=params.entries)
        self._sigma_of = sigmas[nearest(TIMESTEPS * sigmas, torch.arange(TIMESTEPS + 1))].to(device)

    def sigma(self, timesteps: Tensor) -> Tensor:
        """The noise level of timesteps 0 to 1000, float32, of the same shape."""
        return self._sigma_of[timesteps]

    def renoise_sigma(self, timesteps: Tensor) -> Tensor:
        """The noise level that a clean estimate gets before a step at `timesteps`."""
        return self._sigma_of[(timesteps - self.params.renoise_offset).clamp(0, TIMESTEPS)]

    def first_timestep(self, noise_scale: Tensor) -> Tensor:
        """The timestep of a noise scale (0-dim float64): truncated, then offset; int64."""
        return ((TIMESTEPS * noise_scale).long() + self.params.timestep_offset).clamp(0, TIMESTEPS)

    def timesteps(self, first: Tensor, step_list_I: Tensor) -> Tensor:
        """The timesteps of a chunk: the list with its first entry replaced.

        The list stays as it is wherever it does not rise. Where a low noise scale puts the first
        timestep below the second, the others step down from it instead (`spec/03` section 5).
        """
        listed_I = torch.cat([first[None], step_list_I[1:]])
        if len(listed_I) == 1:
            return listed_I
        fallen_I = first - FALL * torch.arange(len(listed_I), device=first.device)
        rises = listed_I[1] > first
        return torch.where(rises, torch.minimum(listed_I, fallen_I), listed_I).clamp(min=0)

"""One denoising step for a batch of micro-steps, and the noise between two of them; functions only.

B batch, F latent frames, c latent channels, h w latent size.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from einops import repeat
from torch import Tensor

from slipstream_engine.diffusion.flow_matching import FlowSchedule, add_noise, follow
from slipstream_engine.kv_cache.positions import BatchPositions, CachePosition, to_device
from slipstream_engine.kv_cache.rolling_cache import RollingCache
from slipstream_engine.models.dit.blocks import Conditioning
from slipstream_engine.models.dit.transformer import CausalDit


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MicroSteps:
    """A batch: each sample is one (stream, chunk, step).

    Args:
        x_BFchw: what each is fed.
        timesteps_B: int64, on the device.
        spans: where each chunk stands in its cache row.
        rows_B: the cache rows, int64, on the device; None if the batch is the whole cache in order.
    """

    x_BFchw: Tensor
    timesteps_B: Tensor
    spans: Sequence[CachePosition]
    rows_B: Tensor | None = None


def denoise(
    model: CausalDit,
    schedule: FlowSchedule,
    batch: MicroSteps,
    cache: RollingCache,
    conditioning: Conditioning,
) -> Tensor:
    """The model's estimate of each sample's clean latents; moves the cache rows on."""
    placement = to_device(batch.spans, batch.x_BFchw.device)
    return denoise_at(
        model,
        schedule,
        batch.x_BFchw,
        batch.timesteps_B,
        placement,
        cache,
        conditioning,
        rows_B=batch.rows_B,
    )


def denoise_at(
    model: CausalDit,
    schedule: FlowSchedule,
    x_BFchw: Tensor,
    timesteps_B: Tensor,
    placement: BatchPositions,
    cache: RollingCache,
    conditioning: Conditioning,
    *,
    rows_B: Tensor | None = None,
) -> Tensor:
    """`denoise` once the device knows where the batch stands: no number comes from the host."""
    timesteps_BF = repeat(timesteps_B, "b -> b f", f=x_BFchw.shape[1])
    height, width = x_BFchw.shape[-2:]
    memory = model.stream_memory(cache, placement, height=height, width=width, rows_B=rows_B)
    flow_BFchw = model(x_BFchw, timesteps_BF, conditioning, memory)
    return follow(x_BFchw, flow_BFchw, _per_sample(schedule.sigma(timesteps_B)))


def renoise(
    schedule: FlowSchedule, clean_BFchw: Tensor, noise_BFchw: Tensor, timesteps_B: Tensor
) -> Tensor:
    """What the next step is fed: the clean estimate, noised to the level of its timestep."""
    return add_noise(clean_BFchw, noise_BFchw, _per_sample(schedule.renoise_sigma(timesteps_B)))


def _per_sample(sigma_B: Tensor) -> Tensor:
    return sigma_B[:, None, None, None, None]

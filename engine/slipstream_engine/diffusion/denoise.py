"""One denoising step for a batch of micro-steps, and the noise between two of them; functions only.

B batch, F latent frames, c latent channels, h w latent size.
"""

from einops import repeat
from torch import Tensor

from slipstream_engine.diffusion.flow_matching import FlowSchedule, add_noise, follow
from slipstream_engine.kv_cache.positions import BatchPositions
from slipstream_engine.kv_cache.rolling_cache import RollingCache
from slipstream_engine.models.dit.blocks import Conditioning
from slipstream_engine.models.dit.transformer import CausalDit


def denoise(
    model: CausalDit,
    schedule: FlowSchedule,
    x_BFchw: Tensor,
    timesteps_B: Tensor,
    positions: BatchPositions,
    cache: RollingCache,
    conditioning: Conditioning,
    *,
    rows_B: Tensor | None = None,
) -> Tensor:
    """The model's estimate of each sample's clean latents; writes its keys and values to the cache.

    All numbers that change from call to call are on the device, so a graph can be recorded of it.

    Args:
        x_BFchw: noisy latents; each sample is one (stream, chunk, step).
        timesteps_B: int64, on the device.
        positions: of each sample's chunk in its cache row.
        rows_B: the cache rows, int64, on the device; None if the batch is the whole cache in order.

    Returns:
        `[B, F, c, h, w]`.
    """
    timesteps_BF = repeat(timesteps_B, "b -> b f", f=x_BFchw.shape[1])
    height, width = x_BFchw.shape[-2:]
    context = model.kv_cache_context(cache, positions, height=height, width=width, rows_B=rows_B)
    flow_BFchw = model(x_BFchw, timesteps_BF, conditioning, context)
    return follow(x_BFchw, flow_BFchw, _per_sample(schedule.sigma(timesteps_B)))


def renoise(
    schedule: FlowSchedule, clean_BFchw: Tensor, noise_BFchw: Tensor, timesteps_B: Tensor
) -> Tensor:
    """The next step's input: the clean estimate, noised to the level of that step's timestep."""
    return add_noise(clean_BFchw, noise_BFchw, _per_sample(schedule.renoise_sigma(timesteps_B)))


def _per_sample(sigma_B: Tensor) -> Tensor:
    return sigma_B[:, None, None, None, None]

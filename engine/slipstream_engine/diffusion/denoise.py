"""One denoising step for a batch of micro-steps, and the noise between two of them; functions only.

B batch, F latent frames, c latent channels, h w latent size, S tokens of a frame, C model width.
"""

from dataclasses import dataclass

from einops import repeat
from torch import Tensor

from slipstream_engine.diffusion.flow_matching import FlowSchedule, add_noise, follow
from slipstream_engine.kv_cache.positions import BatchPositions
from slipstream_engine.kv_cache.rolling_cache import RollingCache
from slipstream_engine.models.dit.blocks import Conditioning
from slipstream_engine.models.dit.transformer import CausalDit


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a denoising step: some of the transformer's blocks, and what lies at its ends.

    Args:
        layers: of the model at hand, which may have no others.
        embeds: it begins with the latents; otherwise with another part's tokens.
        heads: it ends with clean latents; otherwise with tokens.
    """

    layers: range
    embeds: bool
    heads: bool


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
    part: Part | None = None,
    tokens_BFSC: Tensor | None = None,
) -> Tensor:
    """The model's estimate of each sample's clean latents; writes its keys and values to the cache.

    All numbers that change from call to call are on the device, so a graph can be recorded of it.

    Args:
        x_BFchw: noisy latents; each sample is one (stream, chunk, step).
        timesteps_B: int64, on the device.
        positions: of each sample's chunk in its cache row.
        rows_B: the cache rows, int64, on the device; None if the batch is the whole cache in order.
        part: of the step to run; None for all of it.
        tokens_BFSC: what the part before has made.

    Returns:
        `[B, F, c, h, w]`; of a part that is not the last its tokens.
    """
    timesteps_BF = repeat(timesteps_B, "b -> b f", f=x_BFchw.shape[1])
    height, width = x_BFchw.shape[-2:]
    context = model.kv_cache_context(cache, positions, height=height, width=width, rows_B=rows_B)
    if part is None:
        flow_BFchw = model(x_BFchw, timesteps_BF, conditioning, context)
        return follow(x_BFchw, flow_BFchw, _per_sample(schedule.sigma(timesteps_B)))
    time = model.embed_time(timesteps_BF, conditioning)
    if part.embeds:
        tokens_BFSC = model.embed(x_BFchw)
    assert tokens_BFSC is not None, "a part in the middle goes on with tokens"
    tokens_BFSC = model.run(tokens_BFSC, time, conditioning, context, part.layers)
    if not part.heads:
        return tokens_BFSC
    flow_BFchw = model.unembed(tokens_BFSC, time, rows=height // model.params.patch[1])
    return follow(x_BFchw, flow_BFchw, _per_sample(schedule.sigma(timesteps_B)))


def renoise(
    schedule: FlowSchedule, clean_BFchw: Tensor, noise_BFchw: Tensor, timesteps_B: Tensor
) -> Tensor:
    """The next step's input: the clean estimate, noised to the level of that step's timestep."""
    return add_noise(clean_BFchw, noise_BFchw, _per_sample(schedule.renoise_sigma(timesteps_B)))


def _per_sample(sigma_B: Tensor) -> Tensor:
    return sigma_B[:, None, None, None, None]

"""The least that a preset takes of its device's memory, from its sizes alone."""

import torch

from slipstream_engine.config import EngineConfig
from slipstream_engine.diffusion.pipeline import latent_size
from slipstream_engine.kv_cache.row_budget import row_bytes
from slipstream_engine.models.dit.transformer import CausalDit
from slipstream_engine.models.vae.taehv_config import TINY, TaehvParams


def least_device_bytes(config: EngineConfig) -> int:
    """Transformer, and the cache rows of all streams at the steps that they begin with.

    Codec, prompts and what passes compute in come on top: `slipstream-engine account` counts all.
    """
    preset = config.preset
    bytes_per_number: int = getattr(torch, config.dtype).itemsize
    with torch.device("meta"):
        numbers = sum(weight.numel() for weight in CausalDit(preset.dit).parameters())
    _, rows, columns = preset.dit.patch
    stride = (TINY if preset.embedded else TaehvParams()).stride
    height, width = latent_size(preset, stride, preset.scales[0])
    cache_row_bytes = row_bytes(
        preset.dit,
        preset.cache,
        frame_tokens=(height // rows) * (width // columns),
        bytes_per_number=bytes_per_number,
    )
    cache_rows = config.max_streams * preset.schedule.steps
    return numbers * bytes_per_number + cache_rows * cache_row_bytes

"""From what was asked for to a loaded diffusion pipeline; the one place that knows every preset."""

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from slipstream_engine.codec.hybrid import CodecSides
from slipstream_engine.conditioning.embedding_cache import EmbeddingCache
from slipstream_engine.config import DEFAULT_PRESET, PRESETS, Compilation, EngineConfig, Preset
from slipstream_engine.diffusion.pipeline import DiffusionPipeline, ModelBundle, latent_size
from slipstream_engine.models.vae.taehv_config import TINY, TaehvParams
from slipstream_engine.weights.embedded import load_embedded_bundle
from slipstream_engine.weights.registry import DEFAULT_WEIGHTS
from slipstream_engine.weights.wan import load_wan_bundle

_EMBEDDINGS_MAX_BYTES = 1 << 30


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelRequest:
    """A pipeline as people ask for it.

    Args:
        preset: name of a model.
        size_px: width and height of a frame; None for the preset's own.
        device: a torch device; None for a GPU where there is one.
        weights: folder of pulled weights; None for the usual one. The embedded model brings its
            own.
        codec: `wan`, `taehv`, or encoder and decoder like `wan+taehv`; None for the preset's own.
        max_streams: streams that may be open at once.
        threads: of the CPU; None for half the cores: the other half is for the media, whose
            latency suffers more from waiting than a chunk's does from fewer threads.
        compilation: eager code runs where it cannot be.
    """

    preset: str = DEFAULT_PRESET
    size_px: tuple[int, int] | None = None
    device: str | None = None
    weights: Path | None = None
    codec: str | None = None
    max_streams: int = 1
    threads: int | None = None
    compilation: Compilation = Compilation.NONE


def usable_cores() -> int:
    """Cores this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def preset_named(name: str) -> Preset:
    """A row of the presets.

    Raises:
        ValueError: if there is none of that name.
    """
    if name not in PRESETS:
        raise ValueError(f"preset is {name!r}, it must be one of {', '.join(PRESETS)}")
    return PRESETS[name]


def configure(wanted: ModelRequest) -> EngineConfig:
    """What to load, and where; reads no weights.

    Raises:
        ValueError: if the preset is unknown, it cannot have this codec or size, or the device
            cannot be had.
    """
    preset = preset_named(wanted.preset)
    if wanted.codec is not None:
        if preset.embedded:
            raise ValueError(
                f"codec is {wanted.codec!r}, preset {preset.name} has only its own; name no codec"
            )
        CodecSides.named(wanted.codec)
        preset = replace(preset, codec=wanted.codec)
    if wanted.size_px is not None:
        width_px, height_px = wanted.size_px
        preset = replace(preset, width_px=width_px, height_px=height_px)
    latent_size(preset, (TINY if preset.embedded else TaehvParams()).stride)
    return EngineConfig(
        preset=preset,
        device=_device(wanted.device or ("cuda" if torch.cuda.is_available() else "cpu")),
        dtype="float32" if preset.embedded else "bfloat16",
        max_streams=wanted.max_streams,
        compilation=wanted.compilation,
    )


def _device(name: str) -> str:
    """`name`, if torch can use it.

    Raises:
        ValueError: if it cannot.
    """
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ValueError(
            f"device is {name!r}, it must be one of torch's, like cpu or cuda:0"
        ) from error
    if device.type == "cuda" and not torch.cuda.is_available():
        raise ValueError(f"device is {name}, this machine has no GPU that torch can use; use cpu")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        last = torch.cuda.device_count() - 1
        raise ValueError(f"device is {name}, the last GPU here is cuda:{last}; use that or another")
    return name


def load_diffusion(wanted: ModelRequest) -> DiffusionPipeline[Any]:
    """The pipeline, loaded but cold.

    Raises:
        ValueError: if what is wanted cannot be.
        OSError: if weights are missing or cannot be read.
    """
    torch.set_num_threads(wanted.threads or max(1, usable_cores() // 2))
    config = configure(wanted)
    weights = (wanted.weights or DEFAULT_WEIGHTS).expanduser()
    return DiffusionPipeline(config, load_bundle(config, weights))


def load_bundle(config: EngineConfig, weights: Path) -> ModelBundle[Any]:
    """What `config` names, from a weights folder.

    Raises:
        ValueError: if weights are missing or of another model.
        OSError: if they cannot be read.
    """
    if config.preset.embedded:
        return load_embedded_bundle(config)
    cache = EmbeddingCache(
        weights / "embeddings", model=config.preset.text, max_bytes=_EMBEDDINGS_MAX_BYTES
    )
    return load_wan_bundle(config, weights, cache, encoder_device=torch.device("cpu"))

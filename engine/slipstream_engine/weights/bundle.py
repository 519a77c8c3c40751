"""The models of a configuration, from files."""

from pathlib import Path
from typing import Any

import torch

from slipstream_engine.conditioning.embedding_cache import EmbeddingCache
from slipstream_engine.conditioning.encoder_placement import EncoderPlacement, place_encoder
from slipstream_engine.config import EngineConfig
from slipstream_engine.device.memory import memory_of
from slipstream_engine.diffusion.pipeline import ModelBundle
from slipstream_engine.weights.embedded import WEIGHTS, load_embedded_bundle
from slipstream_engine.weights.least_memory import least_device_bytes
from slipstream_engine.weights.registry import UMT5, files_of
from slipstream_engine.weights.wan import load_wan_bundle

_EMBEDDINGS_MAX_BYTES = 1 << 30


def load_bundle(config: EngineConfig, weights: Path) -> ModelBundle[Any]:
    """Load the models of `config`.

    Args:
        weights: folder of pulled weights; not read for an embedded model.

    Raises:
        ValueError: if weights are missing or of another model.
        OSError: if they cannot be read.
    """
    if config.preset.embedded:
        return load_embedded_bundle(config)
    cache = EmbeddingCache(
        weights / "embeddings", model=config.preset.text, max_bytes=_EMBEDDINGS_MAX_BYTES
    )
    return load_wan_bundle(config, weights, cache, encoder=_encoder_placement(config, weights))


def _encoder_placement(config: EngineConfig, weights: Path) -> EncoderPlacement:
    file, device = weights / UMT5.file, torch.device(config.device)
    gpu = memory_of(device) if device.type == "cuda" else None
    host, model_bytes = memory_of(torch.device("cpu")), least_device_bytes(config)
    host_free_bytes = None if host is None else host.free_bytes()
    if host_free_bytes is not None and gpu is None:
        host_free_bytes -= model_bytes
    return place_encoder(
        encoder_bytes=file.stat().st_size if file.exists() else 0,
        gpu_free_bytes=None if gpu is None else gpu.free_bytes(),
        model_bytes=model_bytes,
        streams=config.max_streams,
        host_free_bytes=host_free_bytes,
    )


def weight_files(config: EngineConfig, weights: Path) -> tuple[Path, ...]:
    """The files that `load_bundle` reads, as far as they are there."""
    if config.preset.embedded:
        found = set(WEIGHTS.glob("*.safetensors"))
    else:
        found = {weights / artifact.file for artifact in files_of(config.preset)}
    if config.checkpoint is not None:
        found.add(config.checkpoint)
    return tuple(sorted(path for path in found if path.is_file()))

"""The parts of a real preset, from a weights folder."""

from pathlib import Path
from typing import Any

import torch

from slipstream_engine.artifacts import (
    BUNDLES,
    GENERATOR_1_3B,
    GENERATOR_14B,
    TAEHV,
    TOKENIZER,
    UMT5,
    WAN_VAE,
    Artifact,
)
from slipstream_engine.checkpoint import CheckpointError
from slipstream_engine.codec import Codec
from slipstream_engine.config import EngineConfig, Preset
from slipstream_engine.diffusion import Parts
from slipstream_engine.models.dit import CausalDit
from slipstream_engine.models.taehv import Taehv, TaehvParams
from slipstream_engine.models.umt5 import Umt5Config
from slipstream_engine.models.wan_vae import WanVae, WanVaeConfig
from slipstream_engine.text_cache import EmbeddingCache
from slipstream_engine.umt5_text import Umt5Files, Umt5Text
from slipstream_engine.weights import load

GENERATORS = {
    "wan-1.3b": GENERATOR_1_3B,
    "wan-1.3b-fast": GENERATOR_1_3B,
    "wan-14b": GENERATOR_14B,
}
CODECS = {"wan": WAN_VAE, "taehv": TAEHV}


def files_of(preset: Preset) -> tuple[Artifact, ...]:
    """What a real preset needs of a weights folder."""
    return GENERATORS[preset.name], CODECS[preset.codec], UMT5, TOKENIZER


def load_real_parts(
    config: EngineConfig,
    weights: Path,
    cache: EmbeddingCache,
    *,
    encoder_device: torch.device,
    wan_vae: WanVaeConfig | None = None,
    umt5: Umt5Config | None = None,
) -> Parts[Any]:
    """Load model and codec; the text encoder waits for the first new prompt.

    Args:
        weights: a folder that `slipstream-engine pull` filled.
        cache: of prompt embeddings.
        encoder_device: where prompts are encoded.
        wan_vae, umt5: sizes, where not the real ones.

    Raises:
        CheckpointError: if a file is absent, damaged, or of another model.
    """
    preset = config.preset
    generator, codec, *_ = files_of(preset)
    _check_present(preset, weights)
    device, dtype = torch.device(config.device), getattr(torch, config.dtype)
    return Parts(
        model=load(
            lambda: CausalDit(preset.dit), weights / generator.file, dtype=dtype, device=device
        ),
        codec=_load_codec(weights / codec.file, codec, dtype, device, wan_vae or WanVaeConfig()),
        text=Umt5Text(
            Umt5Files(weights=weights / UMT5.file, tokenizer=weights / TOKENIZER.file),
            cache,
            device=device,
            dtype=dtype,
            encoder_device=encoder_device,
            config=umt5 or Umt5Config(),
        ),
    )


def _check_present(preset: Preset, weights: Path) -> None:
    """Name all that is absent, and the bundles that bring it, before anything is read."""
    needed = files_of(preset)
    absent = [artifact for artifact in needed if not (weights / artifact.file).is_file()]
    if not absent:
        return
    of_preset = next(name for name, bundle in BUNDLES.items() if needed[0] in bundle)
    pulls = [
        name
        for name in (of_preset, "taehv")
        if any(artifact in BUNDLES[name] for artifact in absent)
    ]
    files = ", ".join(artifact.file for artifact in absent)
    raise CheckpointError(
        f"preset {preset.name} needs {files} in {weights}, "
        f"run: {' && '.join(f'slipstream-engine pull {name}' for name in pulls)}"
    )


def _load_codec(
    file: Path,
    artifact: Artifact,
    dtype: torch.dtype,
    device: torch.device,
    wan_vae: WanVaeConfig,
) -> Codec[Any]:
    if artifact is WAN_VAE:
        vae = load(lambda: WanVae(wan_vae), file, dtype=dtype, device=device)
        return vae.channels_last()
    return load(
        lambda: Taehv(TaehvParams()), file, dtype=dtype, device=device, surplus=artifact.surplus
    )

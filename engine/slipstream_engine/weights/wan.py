"""The parts of a real preset, from a weights folder."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from slipstream_engine.checkpoints.loader import check_checkpoint, load_module
from slipstream_engine.codec.hybrid import CodecName, CodecSides, HybridCodec, LatentStatistics
from slipstream_engine.codec.protocol import Codec
from slipstream_engine.conditioning.embedding_cache import EmbeddingCache
from slipstream_engine.conditioning.umt5_encoder import Umt5Files, Umt5Text
from slipstream_engine.conditioning.worker import TextWorker
from slipstream_engine.config import EngineConfig, Preset
from slipstream_engine.diffusion.pipeline import ModelBundle
from slipstream_engine.errors import CheckpointError
from slipstream_engine.models.dit.transformer import CausalDit
from slipstream_engine.models.text.umt5 import Umt5Config
from slipstream_engine.models.vae.taehv import Taehv
from slipstream_engine.models.vae.taehv_config import TaehvParams
from slipstream_engine.models.vae.wan_vae import LATENT_MEAN, LATENT_STD, WanVae, WanVaeConfig
from slipstream_engine.weights.registry import (
    BUNDLES,
    CODECS,
    DEFAULT_WEIGHTS,
    GENERATORS,
    TOKENIZER,
    UMT5,
    Artifact,
    files_of,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSizes:
    """Shapes that no preset holds; the defaults are those of the published files."""

    wan_vae: WanVaeConfig = field(default_factory=WanVaeConfig)
    taehv: TaehvParams = field(default_factory=TaehvParams)
    umt5: Umt5Config = field(default_factory=Umt5Config)


def load_wan_bundle(
    config: EngineConfig,
    weights: Path,
    cache: EmbeddingCache,
    *,
    encoder_device: torch.device,
    sizes: ModelSizes | None = None,
) -> ModelBundle[Any]:
    """Load model and codec; the text encoder waits, in a thread of its own, for new prompts.

    Every file is compared with what it is for before the first tensor is read. Whoever gets the
    parts closes `Parts.text_worker`.

    Args:
        weights: a folder that `slipstream-engine pull` filled.
        cache: of prompt embeddings.
        encoder_device: where prompts are encoded.
        sizes: where not the published ones.

    Raises:
        CheckpointError: if a file is absent, damaged, or of another model.
        MissingExtraError: if a package for text is not installed.
        ValueError: if the preset names a codec that there is not.
    """
    preset, sizes = config.preset, sizes or ModelSizes()
    check_present(preset, weights)
    device, dtype = torch.device(config.device), getattr(torch, config.dtype)
    text = Umt5Text(
        Umt5Files(weights=weights / UMT5.file, tokenizer=weights / TOKENIZER.file),
        cache,
        device=device,
        dtype=dtype,
        encoder_device=encoder_device,
        config=sizes.umt5,
    )
    builds = builds_of(preset, sizes)
    for artifact, build in builds.items():
        check_checkpoint(build, weights / artifact.file, surplus=artifact.surplus)
    text.check()

    def read(artifact: Artifact) -> Any:
        file, surplus = weights / artifact.file, artifact.surplus
        return load_module(builds[artifact], file, dtype=dtype, device=device, surplus=surplus)

    model = read(GENERATORS[preset.name])
    codec = pair_codecs(preset, lambda name: read(CODECS[name]), device)
    worker = TextWorker(text)
    worker.start()
    return ModelBundle(model=model, codec=codec, text=text, text_worker=worker)


def builds_of(preset: Preset, sizes: ModelSizes) -> Mapping[Artifact, Callable[[], nn.Module]]:
    """What each file of model and codec is read into."""
    makes: dict[CodecName, Callable[[], nn.Module]] = {
        CodecName.WAN: lambda: WanVae(sizes.wan_vae),
        CodecName.TAEHV: lambda: Taehv(sizes.taehv),
    }
    return {
        GENERATORS[preset.name]: lambda: CausalDit(preset.dit),
        **{CODECS[name]: makes[name] for name in CodecSides.named(preset.codec).used},
    }


def pair_codecs(
    preset: Preset, read: Callable[[CodecName], Any], device: torch.device
) -> Codec[Any]:
    """The preset's codec, each of its sides from `read`."""
    sides = CodecSides.named(preset.codec)
    loaded = {name: read(name) for name in sides.used}
    if CodecName.WAN in loaded:
        loaded[CodecName.WAN].channels_last()
    if sides.encoder is CodecName.TAEHV:
        statistics = LatentStatistics.of(LATENT_MEAN, LATENT_STD, device)
    else:
        statistics = None
    return HybridCodec(loaded[sides.encoder], loaded[sides.decoder], statistics=statistics)


def check_present(preset: Preset, weights: Path) -> None:
    """Name all that is absent, and the bundles that bring it, before anything is read.

    Raises:
        CheckpointError: if anything is.
    """
    absent = [artifact for artifact in files_of(preset) if not (weights / artifact.file).is_file()]
    if not absent:
        return
    files = ", ".join(artifact.file for artifact in absent)
    where = "" if weights == DEFAULT_WEIGHTS.expanduser() else f" --weights {weights}"
    pulls = " && ".join(
        f"slipstream-engine pull {bundle}{where}" for bundle in _bundles_with(absent, preset.name)
    )
    raise CheckpointError(f"preset {preset.name} needs {files} in {weights}, run: {pulls}")


def _bundles_with(absent: list[Artifact], first: str) -> list[str]:
    """Bundles that together hold `absent`: the preset's own, and what it lacks."""
    chosen: list[str] = []
    missing = set(absent)
    for name in (first, *BUNDLES):
        if missing & set(BUNDLES[name]):
            chosen.append(name)
            missing -= set(BUNDLES[name])
    return chosen

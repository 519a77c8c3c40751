"""The bundle of a real preset, from a folder of pulled weights."""

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
from slipstream_engine.conditioning.encoder_placement import EncoderPlacement
from slipstream_engine.conditioning.umt5_text import Umt5Files, Umt5Text
from slipstream_engine.conditioning.worker import IDLE_RELEASE_S, TextWorker
from slipstream_engine.config import EngineConfig, Preset
from slipstream_engine.diffusion.pipeline import ModelBundle
from slipstream_engine.errors import CheckpointError
from slipstream_engine.kernels.availability import why_not_fused
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
from slipstream_engine.weights.share import AbsentText, WantedTensors, coding, cut


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSizes:
    """Configurations that are not in the preset; the defaults are those of the published files."""

    wan_vae: WanVaeConfig = field(default_factory=WanVaeConfig)
    taehv: TaehvParams = field(default_factory=TaehvParams)
    umt5: Umt5Config = field(default_factory=Umt5Config)


def load_wan_bundle(
    config: EngineConfig,
    weights: Path,
    cache: EmbeddingCache,
    *,
    encoder: EncoderPlacement,
    sizes: ModelSizes | None = None,
) -> ModelBundle[Any]:
    """Load model and codec; the text encoder is loaded later, in a thread, by the first new prompt.

    The header of every file is checked before the first tensor is read. The caller must close
    `ModelBundle.text_worker`.

    Args:
        weights: a folder that `slipstream-engine pull` filled.
        cache: of prompt embeddings.
        encoder: where prompts are encoded, and whether the encoder stays.
        sizes: None for those of the published files.

    Raises:
        CheckpointError: if a file is absent, damaged, or of another model.
        MissingExtraError: if a package for text is not installed.
        ValueError: if the preset names an unknown codec.
    """
    preset, sizes = config.preset, sizes or ModelSizes()
    check_present(preset, weights, config.checkpoint)
    device, dtype = torch.device(config.device), getattr(torch, config.dtype)
    text = Umt5Text(
        Umt5Files(weights=weights / UMT5.file, tokenizer=weights / TOKENIZER.file),
        cache,
        dtype=dtype,
        is_pinned=device.type == "cuda",
        encoder_device=device if encoder.on_gpu else torch.device("cpu"),
        config=sizes.umt5,
    )
    builders = builders_of(preset, sizes)
    files = {artifact: weights / artifact.file for artifact in builders}
    if config.checkpoint is not None:
        files[GENERATORS[preset.name]] = config.checkpoint
    for artifact, build in builders.items():
        check_checkpoint(build, files[artifact], surplus=artifact.surplus)
    share = config.share
    has_text = share is None or share.leads
    if has_text:
        text.check()
    generator = GENERATORS[preset.name]

    def load(artifact: Artifact) -> Any:
        return load_module(
            builders[artifact],
            files[artifact],
            dtype=dtype,
            device=device,
            surplus=artifact.surplus,
            is_wanted=WantedTensors(share if artifact is generator else None),
        )

    model = cut(load(generator), share)
    codec = coding(join_codecs(preset, lambda name: load(CODECS[name]), device), share)
    if not has_text:
        like = torch.zeros((), device=device, dtype=dtype)
        return ModelBundle(model=model, codec=codec, text=AbsentText(preset.dit, like))
    worker = TextWorker(text, idle_release_s=None if encoder.stays else IDLE_RELEASE_S)
    worker.start()
    return ModelBundle(model=model, codec=codec, text=text, text_worker=worker)


def builders_of(preset: Preset, sizes: ModelSizes) -> Mapping[Artifact, Callable[[], nn.Module]]:
    """For each file of model and codec, what constructs its module."""
    codecs: dict[CodecName, Callable[[], nn.Module]] = {
        CodecName.WAN: lambda: WanVae(sizes.wan_vae),
        CodecName.TAEHV: lambda: Taehv(sizes.taehv),
    }
    return {
        GENERATORS[preset.name]: lambda: CausalDit(preset.dit),
        **{CODECS[name]: codecs[name] for name in CodecSides.named(preset.codec).used},
    }


def join_codecs(
    preset: Preset, load: Callable[[CodecName], Any], device: torch.device
) -> Codec[Any]:
    """The preset's codec: an encoder and a decoder, each from `load`."""
    sides = CodecSides.named(preset.codec)
    loaded = {name: load(name) for name in sides.used}
    if CodecName.WAN in loaded:
        loaded[CodecName.WAN].channels_last().is_fused = not why_not_fused(device)
    if sides.encoder is CodecName.TAEHV:
        statistics = LatentStatistics.of(LATENT_MEAN, LATENT_STD, device)
    else:
        statistics = None
    return HybridCodec(loaded[sides.encoder], loaded[sides.decoder], statistics=statistics)


def check_present(preset: Preset, weights: Path, checkpoint: Path | None = None) -> None:
    """Check that all files of a preset are there; reads none of them.

    Args:
        checkpoint: a file in place of the preset's own transformer, which may be absent then.

    Raises:
        CheckpointError: if any is absent; it names them and the commands that pull them.
    """
    own = () if checkpoint is None else (GENERATORS[preset.name],)
    absent = [
        artifact
        for artifact in files_of(preset)
        if artifact not in own and not (weights / artifact.file).is_file()
    ]
    if not absent:
        return
    files = ", ".join(artifact.file for artifact in absent)
    where = "" if weights == DEFAULT_WEIGHTS.expanduser() else f" --weights {weights}"
    pulls = " && ".join(
        f"slipstream-engine pull {bundle}{where}" for bundle in _bundles_with(absent, preset.name)
    )
    raise CheckpointError(f"preset {preset.name} needs {files} in {weights}, run: {pulls}")


def _bundles_with(absent: list[Artifact], first: str) -> list[str]:
    """Names of bundles that together hold `absent`, beginning with `first`."""
    chosen: list[str] = []
    missing = set(absent)
    for name in (first, *BUNDLES):
        if missing & set(BUNDLES[name]):
            chosen.append(name)
            missing -= set(BUNDLES[name])
    return chosen

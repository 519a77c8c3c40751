"""The files of the real presets: where they are published, what they must hold.

A weights folder holds one safetensors file for each model, and the tokenizer.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from types import MappingProxyType

import torch
from torch import nn

from slipstream_engine.checkpoints.loader import NO_SURPLUS, TAEHV_SURPLUS, SurplusRows
from slipstream_engine.codec.hybrid import CodecName, CodecSides
from slipstream_engine.config import Preset
from slipstream_engine.models.dit.transformer import CausalDit
from slipstream_engine.models.text.umt5 import Umt5Config, Umt5Encoder
from slipstream_engine.models.vae.taehv import Taehv
from slipstream_engine.models.vae.taehv_config import TaehvParams
from slipstream_engine.models.vae.wan_vae import WanVae, WanVaeConfig
from slipstream_engine.presets import PRESETS

DEFAULT_WEIGHTS = Path("~/.cache/slipstream/weights")


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifact:
    """One file.

    Args:
        file: its name in a weights folder.
        repo, path: where it is on the Hugging Face hub.
        build: constructs the module whose tensors it must hold; None for a file without tensors.
        dtype: to store its tensors in; None keeps theirs.
        surplus: tensors that may have more rows than in the module.
    """

    file: str
    repo: str
    path: PurePosixPath
    build: Callable[[], nn.Module] | None = None
    dtype: torch.dtype | None = None
    surplus: SurplusRows = NO_SURPLUS


def _generator(preset: str, folder: str) -> Artifact:
    """A diffusion model, stored in the dtype it runs in: half the size of the published file."""
    return Artifact(
        file=f"{preset}.safetensors",
        repo="jerryfeng/StreamDiffusionV2",
        path=PurePosixPath(folder, "model.pt"),
        build=lambda: CausalDit(PRESETS[preset].dit),
        dtype=torch.bfloat16,
    )


# the 14B repository holds the same codec and text encoder
_WAN_REPO = "Wan-AI/Wan2.1-T2V-1.3B"

WAN_VAE = Artifact(
    file="wan-vae.safetensors",
    repo=_WAN_REPO,
    path=PurePosixPath("Wan2.1_VAE.pth"),
    build=lambda: WanVae(WanVaeConfig()),
)
UMT5 = Artifact(
    file="umt5-xxl.safetensors",
    repo=_WAN_REPO,
    path=PurePosixPath("models_t5_umt5-xxl-enc-bf16.pth"),
    build=lambda: Umt5Encoder(Umt5Config()),
)
TOKENIZER = Artifact(
    file="umt5-tokenizer.json",
    repo=_WAN_REPO,
    path=PurePosixPath("google/umt5-xxl/tokenizer.json"),
)
TAEHV = Artifact(
    file="taew2_1.safetensors",
    repo="lightx2v/Autoencoders",
    path=PurePosixPath("taew2_1.pth"),
    build=lambda: Taehv(TaehvParams()),
    surplus=TAEHV_SURPLUS,
)
GENERATOR_1_3B = _generator("wan-1.3b", "wan_causal_dmd_v2v")
GENERATOR_14B = _generator("wan-14b", "wan_causal_dmd_v2v_14b")

GENERATORS: Mapping[str, Artifact] = MappingProxyType(
    {
        "wan-1.3b": GENERATOR_1_3B,
        "wan-1.3b-fast": GENERATOR_1_3B,
        "wan-14b": GENERATOR_14B,
    }
)
CODECS: Mapping[CodecName, Artifact] = MappingProxyType(
    {CodecName.WAN: WAN_VAE, CodecName.TAEHV: TAEHV}
)


def files_of(preset: Preset) -> tuple[Artifact, ...]:
    """The files that a real preset needs.

    Raises:
        ValueError: if it names an unknown codec, or no weights are registered for it.
    """
    if preset.name not in GENERATORS:
        raise ValueError(
            f"preset {preset.name} has no weights in weights/registry.py, add it to GENERATORS"
        )
    codecs = (CODECS[name] for name in CodecSides.named(preset.codec).used)
    return GENERATORS[preset.name], *codecs, UMT5, TOKENIZER


# what `slipstream-engine pull` can fetch
BUNDLES: Mapping[str, tuple[Artifact, ...]] = MappingProxyType(
    {**{name: files_of(PRESETS[name]) for name in GENERATORS}, "taehv": (TAEHV,)}
)

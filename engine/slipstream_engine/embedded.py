"""The embedded default: a model for two CPU cores, whose weights lie in the package."""

from pathlib import Path
from typing import TypeVar

import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch import nn

from slipstream_engine.config import EngineConfig
from slipstream_engine.diffusion import Parts
from slipstream_engine.models.dit import CausalDit
from slipstream_engine.models.taehv import TINY, Taehv, TaehvState
from slipstream_engine.models.tiny_text import TinyText

ModuleT = TypeVar("ModuleT", bound=nn.Module)

WEIGHTS = Path(__file__).parent / "weights" / "tiny"
CODEC_FILE, DIT_FILE, TEXT_FILE = "codec.safetensors", "dit.safetensors", "text.safetensors"


def load_embedded(config: EngineConfig, folder: Path = WEIGHTS) -> Parts[TaehvState]:
    """The parts of preset `tiny`, ready for inference.

    Raises:
        OSError: if a file of weights is missing.
        ValueError: if a file holds the weights of another model.
    """
    model = _fill(CausalDit(config.preset.dit), folder / DIT_FILE, config)
    codec = _fill(Taehv(TINY), folder / CODEC_FILE, config)
    return Parts(model=model, codec=codec, text=_text(folder / TEXT_FILE, like=model))


def _fill(module: ModuleT, path: Path, config: EngineConfig) -> ModuleT:
    try:
        module.load_state_dict(load_file(path))
    except RuntimeError as error:
        raise ValueError(f"{path} is of another model: {error}") from error
    module.to(torch.device(config.device), getattr(torch, config.dtype))
    return module.eval().requires_grad_(False)


def _text(path: Path, *, like: CausalDit) -> TinyText:
    with safe_open(path, framework="pt") as opened:
        metadata = opened.metadata()
    return TinyText.from_weights(
        load_file(path), metadata, like=torch.zeros((), device=like.device, dtype=like.dtype)
    )

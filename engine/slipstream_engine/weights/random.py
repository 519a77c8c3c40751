"""Bundles with random weights, to measure a preset's speed without its files.

The weights are scaled so that activations neither vanish nor explode: the time of a matrix product
depends on the values, on GPUs by a tenth, since zeros take less power.
"""

import hashlib
import math
from typing import Any

import torch
from slipstream_protocol.messages import Vocabulary
from slipstream_protocol.parameters import Prompts
from torch import Tensor

from slipstream_engine.checkpoints.checkpoint import TensorShape
from slipstream_engine.checkpoints.loader import make_module
from slipstream_engine.conditioning.encoder import TextEncoder
from slipstream_engine.config import EngineConfig
from slipstream_engine.diffusion.pipeline import ModelBundle
from slipstream_engine.models.dit.transformer import CausalDit
from slipstream_engine.models.vae.guided_taehv import GuidedTaehv
from slipstream_engine.models.vae.taehv_config import TINY
from slipstream_engine.weights.registry import CODECS
from slipstream_engine.weights.share import WantedTensors, coding, cut
from slipstream_engine.weights.wan import ModelSizes, builders_of, join_codecs


class RandomText:
    """A `TextEncoder` that gives every text rows of noise of its own, none of them zero."""

    vocabulary = Vocabulary()

    def __init__(self, *, text_len: int, text_dim: int, like: Tensor) -> None:
        self.text_len = text_len
        self.text_dim = text_dim
        self._like = like

    def understood(self, prompts: Prompts) -> str:
        """Empty: any text will do."""
        return ""

    def encode(self, text: str) -> Tensor:
        rows_TE = random_tensor(
            text, (self.text_len, self.text_dim), device=self._like.device, dtype=self._like.dtype
        )
        return rows_TE * math.sqrt(self.text_dim)


def random_bundle(config: EngineConfig, *, sizes: ModelSizes | None = None) -> ModelBundle[Any]:
    """A bundle for a preset, with the same weights every time.

    Args:
        sizes: of codecs and text encoder; None for the published ones.
    """
    preset = config.preset
    device, dtype = torch.device(config.device), getattr(torch, config.dtype)

    def tensor_of(name: str, shape: TensorShape) -> Tensor:
        return random_tensor(name, shape, device=device, dtype=dtype)

    codec: Any
    if preset.embedded:
        codec = make_module(lambda: GuidedTaehv(TINY), tensor_of, device=device)
    else:
        builders = builders_of(preset, sizes or ModelSizes())
        codec = join_codecs(
            preset,
            lambda name: make_module(builders[CODECS[name]], tensor_of, device=device),
            device,
        )
    share, like = config.share, torch.empty((), device=device, dtype=dtype)
    model = make_module(
        lambda: CausalDit(preset.dit), tensor_of, device=device, is_wanted=WantedTensors(share)
    )
    text: TextEncoder = RandomText(
        text_len=preset.dit.text_len, text_dim=preset.dit.text_dim, like=like
    )
    return ModelBundle(model=cut(model, share), codec=coding(codec, share), text=text)


def random_tensor(
    name: str, shape: TensorShape, *, device: torch.device, dtype: torch.dtype
) -> Tensor:
    """Weights of variance 1 / inputs, gains of 1, biases of 0; meta tensors for the meta device."""
    if name.endswith("bias"):
        return torch.zeros(shape, device=device, dtype=dtype)
    if name.endswith("gamma") or len(shape) == 1:
        return torch.ones(shape, device=device, dtype=dtype)
    if device.type == "meta":
        return torch.empty(shape, device=device, dtype=dtype)
    inputs = shape[-1] if name.endswith("modulation") else math.prod(shape[1:])
    gain = 2 if len(shape) >= 4 else 1  # activations between convolutions pass half of the variance
    seed = int.from_bytes(hashlib.sha256(name.encode()).digest()[:6])
    generator = torch.Generator(device).manual_seed(seed)
    numbers = torch.randn(shape, generator=generator, device=device, dtype=dtype)
    return numbers.mul_(math.sqrt(gain / inputs))

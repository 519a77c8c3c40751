"""All clips and targets as latents, encoded once before the transformer is trained.

N clips, K targets, F latent frames, c latent channels, h w latent size.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor

from slipstream_engine.models.vae.guided_taehv import GuidedTaehv
from slipstream_engine.train.codec import to_tensor
from slipstream_engine.train.data import Dataset
from slipstream_engine.train.fit import save_tensors


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Latents:
    """A dataset's latents in half precision."""

    inputs_NFchw: Tensor
    targets_NKFchw: Tensor


def encode_dataset(codec: GuidedTaehv, dataset: Dataset, cache: Path) -> Latents:
    """Encode every clip from its first frame on, as a stream does; kept in `cache`."""
    if cache.is_file():
        kept = load_file(cache)
        return Latents(inputs_NFchw=kept["inputs"], targets_NKFchw=kept["targets"])
    inputs, targets = [], []
    for n in range(len(dataset.styles)):
        inputs.append(_encode(codec, dataset.inputs[n]))
        targets.append(torch.stack([_encode(codec, clip) for clip in dataset.targets[n]]))
        if (n + 1) % 100 == 0:
            print(f"latents: {n + 1}/{len(dataset.styles)} clips", flush=True)
    latents = {"inputs": torch.stack(inputs), "targets": torch.stack(targets)}
    save_tensors(cache, latents)
    return Latents(inputs_NFchw=latents["inputs"], targets_NKFchw=latents["targets"])


@torch.inference_mode()
def _encode(codec: GuidedTaehv, clip: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> Tensor:
    device = next(codec.parameters()).device
    rgb_TCHW = to_tensor(np.asarray(clip)).to(device) * 2 - 1
    return codec.encode(rgb_TCHW, codec.fresh_state()).cpu().half()

"""The embedded default model for two CPU cores; its weights are files of the package."""

from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import load_file

from slipstream_engine.checkpoints.loader import load_module
from slipstream_engine.config import EngineConfig
from slipstream_engine.diffusion.pipeline import ModelBundle
from slipstream_engine.errors import CheckpointError
from slipstream_engine.models.dit.transformer import CausalDit
from slipstream_engine.models.text.tiny_text import TinyText
from slipstream_engine.models.vae.guided_taehv import GuidedTaehv
from slipstream_engine.models.vae.taehv import TaehvState
from slipstream_engine.models.vae.taehv_config import TINY
from slipstream_engine.weights.share import WantedTensors, coding, cut

WEIGHTS = Path(__file__).parents[1] / "assets" / "tiny"
CODEC_FILE, DIT_FILE, TEXT_FILE = "codec.safetensors", "dit.safetensors", "text.safetensors"


def load_embedded_bundle(config: EngineConfig, folder: Path = WEIGHTS) -> ModelBundle[TaehvState]:
    """Load the bundle of preset `tiny`.

    Raises:
        CheckpointError: if a file is missing, damaged or of another model.
    """
    device = torch.device(config.device)
    dtype: torch.dtype = getattr(torch, config.dtype)
    params = config.preset.dit
    dit_file = config.checkpoint or folder / DIT_FILE
    model = load_module(
        lambda: CausalDit(params),
        dit_file,
        dtype=dtype,
        device=device,
        is_wanted=WantedTensors(config.share),
    )
    codec = load_module(lambda: GuidedTaehv(TINY), folder / CODEC_FILE, dtype=dtype, device=device)
    text = load_text(folder / TEXT_FILE, like=torch.zeros((), device=device, dtype=dtype))
    share = config.share
    return ModelBundle(model=cut(model, share), codec=coding(codec, share), text=text)


def check_embedded(folder: Path = WEIGHTS) -> None:
    """Check that all files of weights are there.

    Raises:
        CheckpointError: if any is absent; it names them.
    """
    files = (CODEC_FILE, DIT_FILE, TEXT_FILE)
    if absent := [name for name in files if not (folder / name).is_file()]:
        raise CheckpointError(
            f"preset tiny needs {', '.join(absent)} in {folder}, reinstall the package"
        )


def load_text(path: Path, *, like: torch.Tensor) -> TinyText:
    """Load the text encoder; its embeddings have the device and the dtype of `like`.

    Raises:
        CheckpointError: if the file is missing or not of this encoder.
    """
    if not path.is_file():
        raise CheckpointError(f"there is no vocabulary at {path}, reinstall the package")
    with safe_open(path, framework="pt") as opened:
        metadata = opened.metadata()
    try:
        return TinyText.from_weights(load_file(path), metadata, like=like)
    except (KeyError, ValueError) as error:
        raise CheckpointError(f"{path} is no table of words: {error}") from error

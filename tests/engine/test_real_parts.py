"""A real preset, sized down, runs end to end from files: Wan's VAE, umT5 and the same pipeline."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from slipstream_engine.artifacts import BUNDLES
from slipstream_engine.checkpoint import CheckpointError
from slipstream_engine.config import PRESETS, DitParams, EngineConfig
from slipstream_engine.diffusion import DiffusionPipeline
from slipstream_engine.models.dit import CausalDit
from slipstream_engine.models.wan_vae import WanVae, WanVaeConfig
from slipstream_engine.real_parts import GENERATORS, files_of, load_real_parts
from slipstream_engine.text_cache import EmbeddingCache
from slipstream_protocol.parameters import Parameters

from tests.engine import small_text

VAE = WanVaeConfig(channels=4)
DIT = DitParams(dim=64, heads=2, layers=2, ffn_dim=96, text_dim=small_text.CONFIG.dim)
PRESET = replace(PRESETS["wan-1.3b"], dit=DIT, width_px=48, height_px=32, prompt="a cat sits")
CONFIG = EngineConfig(preset=PRESET, device="cpu", dtype="float32")


def write_weights(folder: Path) -> Path:
    """A weights folder as `pull` leaves it, with a small model of random numbers."""
    folder.mkdir()
    torch.manual_seed(4)
    text = small_text.write_files(folder)
    generator, codec, umt5, tokenizer = files_of(PRESET)
    save_file(CausalDit(DIT).state_dict(), folder / generator.file)
    save_file(WanVae(VAE).state_dict(), folder / codec.file)
    text.weights.rename(folder / umt5.file)
    text.tokenizer.rename(folder / tokenizer.file)
    return folder


def make(weights: Path, cache: Path) -> DiffusionPipeline[object]:
    parts = load_real_parts(
        CONFIG,
        weights,
        EmbeddingCache(cache, model="small", max_bytes=10**7),
        encoder_device=torch.device("cpu"),
        wan_vae=VAE,
        umt5=small_text.CONFIG,
    )
    return DiffusionPipeline(CONFIG, parts)


def chunks(pipeline: DiffusionPipeline[object], prompt: str) -> list[np.ndarray]:
    """Three chunks of a moving ramp."""
    stream = pipeline.open(Parameters(prompt=prompt, seed=3))
    made = []
    for chunk in range(3):
        shape = (pipeline.geometry.frames_of(chunk), *pipeline.geometry.frame_shape)
        ramp = np.arange(np.prod(shape), dtype=np.int64).reshape(shape) * (chunk + 3) // 7
        out = np.empty(shape, dtype=np.uint8)
        stream.step((ramp % 256).astype(np.uint8), out)
        made.append(out)
    return made


def test_pictures_come_from_files_and_depend_on_the_prompt(tmp_path: Path) -> None:
    """a fresh process makes the same pictures of the same files, others of another prompt."""
    weights = write_weights(tmp_path / "weights")
    first = chunks(make(weights, tmp_path / "cache"), "a cat sits")
    assert [len(chunk) for chunk in first] == [5, 4, 4]
    again = chunks(make(weights, tmp_path / "cache"), " a  cat sits")
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    other = chunks(make(weights, tmp_path / "cache"), "a dog runs")
    assert not np.array_equal(first[0], other[0])


def test_absent_files_are_named_before_any_work(tmp_path: Path) -> None:
    """every absent file stands in one message with the command that brings them."""
    weights = write_weights(tmp_path / "weights")
    (weights / "wan-vae.safetensors").unlink()
    (weights / "umt5-tokenizer.json").unlink()
    with pytest.raises(CheckpointError) as caught:
        make(weights, tmp_path / "cache")
    assert str(caught.value) == (
        f"preset wan-1.3b needs wan-vae.safetensors, umt5-tokenizer.json in {weights}, "
        "run: slipstream-engine pull wan-1.3b"
    )


def test_every_real_preset_can_be_pulled() -> None:
    """what a preset needs is in the bundles."""
    pulled = {artifact.file for bundle in BUNDLES.values() for artifact in bundle}
    for name in GENERATORS:
        assert {artifact.file for artifact in files_of(PRESETS[name])} <= pulled

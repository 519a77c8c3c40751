"""The embedded default as it is shipped: it loads, streams, restyles and stays."""

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from slipstream_engine.config import EngineConfig
from slipstream_engine.diffusion.pipeline import DiffusionPipeline
from slipstream_engine.errors import CheckpointError
from slipstream_engine.models.vae.taehv import TaehvState
from slipstream_engine.presets import PRESETS
from slipstream_engine.weights.embedded import DIT_FILE, TEXT_FILE, WEIGHTS, load_embedded_bundle
from slipstream_protocol.frames import I420
from slipstream_protocol.parameters import Parameters, Prompt

CHUNKS = (5, 4, 4)
CONFIG = EngineConfig(preset=PRESETS["tiny"], max_streams=8)
MOST_BYTES = 12_000_000


@pytest.fixture(scope="module")
def pipeline() -> DiffusionPipeline[TaehvState]:
    return DiffusionPipeline(CONFIG, load_embedded_bundle(CONFIG))


def scene(pipeline: DiffusionPipeline[TaehvState], count: int) -> I420:
    """A disc that drifts over a ramp."""
    geometry = pipeline.geometry
    y, x = np.mgrid[0 : geometry.height_px, 0 : geometry.width_px]
    frames = np.full((count, *geometry.frame_shape), 128, np.uint8)
    for t in range(count):
        disc = (x - 90 - 2 * t) ** 2 + (y - 90) ** 2 < 45**2
        frames[t, : geometry.height_px] = np.where(disc, 205, 40 + x // 4 + y // 4)
    return frames


def watch(
    pipeline: DiffusionPipeline[TaehvState],
    parameters: Parameters,
    chunks: tuple[int, ...] = CHUNKS,
) -> I420:
    """What a viewer sees of the scene."""
    frames = scene(pipeline, sum(chunks))
    generated = np.zeros_like(frames)
    stream = pipeline.open(parameters)
    at = 0
    for count in chunks:
        stream.step(frames[at : at + count], generated[at : at + count])
        at += count
    return generated


def apart(one: I420, other: I420) -> float:
    return float(np.abs(one.astype(int) - other.astype(int)).mean())


def test_weights_are_small() -> None:
    """the package carries less than 12 MB of weights."""
    assert sum(path.stat().st_size for path in WEIGHTS.glob("*.safetensors")) < MOST_BYTES


def test_loading_brings_no_compiler() -> None:
    """in a fresh interpreter: torch's compiler and sympy would cost every start two seconds."""
    code = (
        "import sys\n"
        "from slipstream_engine.weights.factory import load_diffusion\n"
        "from slipstream_engine.weights.request import ModelRequest\n"
        "load_diffusion(ModelRequest(max_streams=1)).close()\n"
        "print({'sympy', 'torch._dynamo'} & set(sys.modules))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout == "set()\n", done.stderr


def test_products_are_quick_in_the_model_alone() -> None:
    """the model runs as it was trained; whatever else the process computes stays exact."""
    bundle = load_embedded_bundle(CONFIG)
    seen: list[str] = []
    for block in bundle.model.blocks:
        block.register_forward_hook(lambda *_: seen.append(torch.get_float32_matmul_precision()))
    before = torch.get_float32_matmul_precision()
    watch(DiffusionPipeline(CONFIG, bundle), Parameters())
    assert set(seen) == {"medium"} != {before}
    assert torch.get_float32_matmul_precision() == before


def test_without_a_style_the_picture_stays(pipeline: DiffusionPipeline[TaehvState]) -> None:
    """a text that names no style gives the camera's picture, nearly."""
    generated = watch(pipeline, Parameters(prompt="a man in his office", noise_scale=0.05))
    assert apart(generated, scene(pipeline, sum(CHUNKS))) < 8


def test_every_listed_style_is_a_picture_of_its_own(
    pipeline: DiffusionPipeline[TaehvState],
) -> None:
    """each style changes the picture, and no two make the same of it."""
    assert pipeline.vocabulary.styles
    generated = {
        style: watch(pipeline, Parameters(prompt=style), (5,))
        for style in pipeline.vocabulary.styles
    }
    generated["camera"] = scene(pipeline, 5)
    names = list(generated)
    for i, one in enumerate(names):
        for other in names[i + 1 :]:
            assert apart(generated[one], generated[other]) > 4, (one, other)


def test_weighted_prompts_blend(pipeline: DiffusionPipeline[TaehvState]) -> None:
    """a mixture lies between its parts, nearer to the heavier one; so does a style asked softly."""
    one, other = pipeline.vocabulary.styles[:2]

    def made(*prompts: Prompt) -> I420:
        return watch(pipeline, Parameters(prompts=prompts), CHUNKS[:1])

    def mixed(share: float) -> I420:
        return made(Prompt(one, share), Prompt(other, 1 - share))

    ends = made(Prompt(one)), made(Prompt(other))
    whole = apart(*ends)
    for share in (0.3, 0.5, 0.7):
        generated = mixed(share)
        assert 0.1 * whole < apart(generated, ends[0]) < whole
        assert 0.1 * whole < apart(generated, ends[1]) < whole
    assert apart(mixed(0.8), ends[0]) < apart(mixed(0.8), ends[1])
    assert apart(mixed(0.2), ends[1]) < apart(mixed(0.2), ends[0])
    camera = scene(pipeline, CHUNKS[0])
    softly = made(Prompt(f"slightly {one}"))
    assert apart(softly, camera) < apart(ends[0], camera)


def test_two_steps_look_like_one(pipeline: DiffusionPipeline[TaehvState]) -> None:
    """a second step refines the picture, it does not style it again."""
    style = pipeline.vocabulary.styles[0]
    camera = scene(pipeline, sum(CHUNKS))
    one, two = (
        watch(pipeline, Parameters(prompt=style, denoising_step_list=pipeline.step_list[:steps]))
        for steps in (1, 2)
    )
    assert apart(one, two) < apart(one, camera) / 4


def test_a_still_picture_stays_still(pipeline: DiffusionPipeline[TaehvState]) -> None:
    """nothing moves on the screen, inside a chunk or between two, when nothing moves before it."""
    frame = scene(pipeline, 1)
    stream = pipeline.open(Parameters(prompt=pipeline.vocabulary.styles[0]))
    seen = []
    for count in (5, 4, 4):
        chunk = np.repeat(frame, count, axis=0)
        generated = np.zeros_like(chunk)
        stream.step(chunk, generated)
        seen.append(generated)
    settled = np.concatenate(seen[1:])
    assert max(map(apart, settled[1:], settled[:-1])) < 1


def test_missing_and_wrong_weights(tmp_path: Path) -> None:
    """weights that are not there, or another model's, are refused with the file's name."""
    with pytest.raises(CheckpointError, match=f"there is no checkpoint at .*{DIT_FILE}"):
        load_embedded_bundle(CONFIG, tmp_path)
    shutil.copytree(WEIGHTS, tmp_path, dirs_exist_ok=True)
    shutil.copy(tmp_path / TEXT_FILE, tmp_path / DIT_FILE)
    with pytest.raises(CheckpointError, match="is not a checkpoint of this model"):
        load_embedded_bundle(CONFIG, tmp_path)

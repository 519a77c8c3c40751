"""serving/startup.py: what is served was warm and measured before, at a size that was tried."""

from dataclasses import replace
from typing import Any

import pytest
from slipstream_engine.config import Preset
from slipstream_engine.diffusion.pipeline import latent_size
from slipstream_engine.models.vae.taehv_config import TINY
from slipstream_engine.presets import PRESETS
from slipstream_engine.serving.echo import EchoPipeline
from slipstream_engine.serving.pipeline_protocol import Pipeline
from slipstream_engine.serving.resolution import ResolutionChoice
from slipstream_engine.serving.startup import prepare

SIZES_PX = ((64, 48), (32, 24))
EASY_FPS, IMPOSSIBLE_FPS = 1e-3, 1e12


class RecordingPipeline(EchoPipeline):
    """Records what is done with it."""

    def __init__(self, calls: list[str], *, width_px: int, height_px: int) -> None:
        super().__init__(width_px=width_px, height_px=height_px)
        self._calls = calls
        self._name = f"{width_px}x{height_px}"

    def warm_up(self) -> None:
        self._calls.append(f"warm {self._name}")

    def close(self) -> None:
        self._calls.append(f"close {self._name}")


class Loader:
    def __init__(self) -> None:
        self.calls: list[str] = []

    def __call__(self, size_px: tuple[int, int] | None) -> Pipeline[Any]:
        width_px, height_px = size_px or (16, 16)
        return RecordingPipeline(self.calls, width_px=width_px, height_px=height_px)


def test_without_a_choice_it_is_the_presets_own_size() -> None:
    load, reports = Loader(), list[str]()
    prepared = prepare(load, None, reports.append)
    assert (prepared.pipeline.geometry.width_px, prepared.note) == (16, "")
    assert load.calls == ["warm 16x16"]
    assert reports == ["warming up"]


def test_a_size_that_keeps_up_is_tried_once() -> None:
    """the choice costs such a machine nothing: its calibration is the only one."""
    load, reports = Loader(), list[str]()
    prepared = prepare(
        load, ResolutionChoice(SIZES_PX, fps=EASY_FPS, chunk_frames=4), reports.append
    )
    assert prepared.pipeline.geometry.width_px == 64
    assert prepared.note.startswith("64x48, of which this machine makes")
    assert load.calls == ["warm 64x48"]
    assert reports == ["warming up at 64x48"]


def test_a_size_that_does_not_is_given_up() -> None:
    """its pipeline is closed before the next is loaded, and each size tried is reported."""
    load, reports = Loader(), list[str]()
    prepared = prepare(
        load, ResolutionChoice(SIZES_PX, fps=IMPOSSIBLE_FPS, chunk_frames=4), reports.append
    )
    assert prepared.pipeline.geometry.width_px == 32
    assert prepared.note.startswith("32x24, since this machine makes")
    assert load.calls == ["warm 64x48", "close 64x48", "warm 32x24"]
    assert reports == ["warming up at 64x48", "warming up at 32x24"]


def test_a_pipeline_that_fails_is_closed() -> None:
    """whatever it had begun beside the streams ends."""
    load = Loader()

    def fail(stage: str) -> None:
        raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        prepare(load, None, fail)
    assert load.calls == ["close 16x16"]


@pytest.mark.parametrize("preset", PRESETS.values(), ids=PRESETS)
def test_every_size_of_a_preset_can_be_served(preset: Preset) -> None:
    """falling, and a whole number of tokens each."""
    sizes_px = [(preset.width_px, preset.height_px), *preset.smaller_sizes_px]
    assert sizes_px == sorted(sizes_px, reverse=True)
    for width_px, height_px in sizes_px:
        sized = replace(preset, width_px=width_px, height_px=height_px)
        assert latent_size(sized, TINY.stride)

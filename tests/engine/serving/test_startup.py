"""serving/startup.py: what is served was warm and measured before, at a size that was tried."""

import pytest
from slipstream_engine.config import Preset
from slipstream_engine.diffusion.pipeline import latent_size
from slipstream_engine.models.vae.taehv_config import TINY
from slipstream_engine.presets import PRESETS
from slipstream_engine.serving.echo import EchoPipeline
from slipstream_engine.serving.resolution import ResolutionChoice
from slipstream_engine.serving.startup import prepare
from slipstream_protocol.frames import FrameSize

SIZES = (FrameSize(64, 48), FrameSize(32, 24))
EASY_FPS, IMPOSSIBLE_FPS = 1e-3, 1e12


class RecordingPipeline(EchoPipeline):
    """Records what is done with it."""

    def __init__(self, sizes: tuple[FrameSize, ...] = SIZES) -> None:
        own, *smaller = sizes
        super().__init__(width_px=own.width_px, height_px=own.height_px, smaller=tuple(smaller))
        self.calls: list[str] = []

    def loaded(self, size: FrameSize | None) -> "RecordingPipeline":
        """Itself, which has all sizes: it is loaded once."""
        assert size is None
        return self

    def warm_up(self) -> None:
        self.calls.append(f"warm {self.geometry.size}")

    def close(self) -> None:
        self.calls.append("close")


def choice(fps: float) -> ResolutionChoice:
    return ResolutionChoice(SIZES, fps=fps, chunk_frames=4)


def test_without_a_choice_it_is_the_pipelines_own_size() -> None:
    pipeline, reports = RecordingPipeline(), list[str]()
    prepared = prepare(pipeline.loaded, None, reports.append)
    assert (prepared.pipeline, prepared.note) == (pipeline, "")
    assert pipeline.calls == ["warm 64x48"]
    assert reports == ["warming up"]


def test_a_size_that_keeps_up_is_tried_once() -> None:
    """the choice costs such a machine nothing: its calibration is the only one."""
    pipeline, reports = RecordingPipeline(), list[str]()
    prepared = prepare(pipeline.loaded, choice(EASY_FPS), reports.append)
    assert pipeline.geometry.size == SIZES[0]
    assert prepared.note.startswith("64x48, of which this machine makes")
    assert pipeline.calls == ["warm 64x48"]
    assert reports == ["warming up at 64x48"]


def test_a_size_that_does_not_is_only_not_begun_with() -> None:
    """streams begin at the next, and may still change to it: each that was tried is warm."""
    pipeline, reports = RecordingPipeline(), list[str]()
    prepared = prepare(pipeline.loaded, choice(IMPOSSIBLE_FPS), reports.append)
    assert pipeline.geometry.size == SIZES[1]
    assert [one.size for one in pipeline.sizes] == list(SIZES)
    assert prepared.note.startswith("32x24 to begin with, since this machine makes")
    assert pipeline.calls == ["warm 64x48", "warm 32x24"]
    assert reports == ["warming up at 64x48", "warming up at 32x24"]


def test_a_pipeline_of_one_size_is_loaded_again_for_another() -> None:
    """as a group of ranks is: the first is closed before, and its times count no more."""
    loaded: list[RecordingPipeline] = []

    def load(size: FrameSize | None) -> RecordingPipeline:
        assert not loaded or loaded[-1].calls[-1] == "close"
        loaded.append(RecordingPipeline((size or SIZES[0],)))
        return loaded[-1]

    prepared = prepare(load, choice(IMPOSSIBLE_FPS), lambda stage: None)
    assert [pipeline.calls for pipeline in loaded] == [["warm 64x48", "close"], ["warm 32x24"]]
    assert (prepared.pipeline, prepared.pipeline.geometry.size) == (loaded[1], SIZES[1])


def test_a_pipeline_that_fails_is_closed() -> None:
    """whatever it had begun beside the streams ends."""
    pipeline = RecordingPipeline()

    def fail(stage: str) -> None:
        raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        prepare(pipeline.loaded, None, fail)
    assert pipeline.calls == ["close"]


@pytest.mark.parametrize("preset", PRESETS.values(), ids=PRESETS)
def test_every_size_of_a_preset_can_be_served(preset: Preset) -> None:
    """falling, and a whole number of tokens each."""
    assert list(preset.scales) == sorted(preset.scales, key=lambda size: -size.pixels)
    for size in preset.scales:
        assert latent_size(preset, TINY.stride, size)

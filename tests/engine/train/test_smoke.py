"""The training command: the whole road in small, and what it says when it cannot go on."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

pytest.importorskip("cv2", reason="the train extra is not installed")

from slipstream_engine.train import colours, fit, styles

from tests.engine.train.smoke_command import train


def test_a_stage_without_the_one_before(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """a stage whose input is missing names the stage to run first."""
    assert train("--stage", "codec", "--out", str(tmp_path)) == 1
    assert "holds no finished data, run train-tiny --stage data" in capsys.readouterr().err


def test_every_style_keeps_to_its_range() -> None:
    """every teacher gives float32 pictures of the same size in [0, 1], and changes them."""
    rng = np.random.default_rng(0)
    picture = rng.uniform(0, 1, (48, 64, 3)).astype(np.float32)
    for name, style in styles.STYLES.items():
        styled = style(picture)
        assert styled.dtype == np.float32 and styled.shape == picture.shape, name
        assert styled.min() >= 0 and styled.max() <= 1 + 1e-6, name
        assert np.abs(styled - picture).mean() > 0.02, name


def test_every_colour_tints_anything() -> None:
    """black stays black, the picture's middle takes the colour's hue, and all stays in [0, 1]."""
    greys = np.repeat(np.linspace(0, 1, 9, dtype=np.float32)[None, :, None], 3, axis=2)
    for name, colour in colours.COLOURS.items():
        tinted = colours.tint(greys, name)
        assert tinted.dtype == np.float32 and tinted.shape == greys.shape, name
        assert tinted.min() >= 0 and tinted.max() <= 1 + 1e-6, name
        assert not tinted[0, 0].any(), name
        assert list(np.argsort(tinted[0, 4])) == list(np.argsort(colour)), name
    assert colours.tint(greys, colours.AS_IT_COMES) is greys


class Line(nn.Module):
    """Something to fit: one number."""

    def __init__(self) -> None:
        super().__init__()
        self.slope = nn.Parameter(torch.zeros(()))

    def loss(self, step: int, rng: np.random.Generator) -> Tensor:
        x = float(rng.uniform(0.5, 1.5))
        return (self.slope * x - 2 * x) ** 2


def test_an_interrupted_run_is_a_whole_one(tmp_path: Path) -> None:
    """stopped at a checkpoint and gone on with, a run ends in the weights of an unbroken one."""
    recipe = fit.Recipe(steps=20, rate=0.1, warm_up=2, log_every=5, save_every=10)
    whole = Line()
    fit.fit("line", whole, whole.loss, recipe, tmp_path / "whole.pt")

    broken = Line()

    def stops(step: int, rng: np.random.Generator) -> Tensor:
        if step == 13:
            raise KeyboardInterrupt
        return broken.loss(step, rng)

    with pytest.raises(KeyboardInterrupt):
        fit.fit("line", broken, stops, recipe, tmp_path / "broken.pt")
    again = Line()
    fit.fit("line", again, again.loss, recipe, tmp_path / "broken.pt")
    assert torch.equal(again.slope, whole.slope)


def test_a_checkpoint_of_another_recipe(tmp_path: Path) -> None:
    """a checkpoint is not gone on with under another recipe."""
    line = Line()
    recipe = fit.Recipe(steps=2, rate=0.1)
    fit.fit("line", line, line.loss, recipe, tmp_path / "line.pt")
    other = fit.Recipe(steps=3, rate=0.1)
    with pytest.raises(ValueError, match="is of another model or recipe, remove it"):
        fit.fit("line", line, line.loss, other, tmp_path / "line.pt")


def test_a_checkpoint_of_another_shape(tmp_path: Path) -> None:
    """a model that has grown since does not go on from a smaller one's checkpoint."""
    line = Line()
    recipe = fit.Recipe(steps=2, rate=0.1)
    fit.fit("line", line, line.loss, recipe, tmp_path / "line.pt")
    grown = Line()
    grown.slope = nn.Parameter(torch.zeros(3))
    with pytest.raises(ValueError, match="is of another model or recipe, remove it"):
        fit.fit("line", grown, grown.loss, recipe, tmp_path / "line.pt")


@pytest.mark.parametrize("kept", [0, 1, 100, 600])
def test_a_damaged_checkpoint(tmp_path: Path, kept: int) -> None:
    """one that was cut off, by a full disk say, is named, with what to do."""
    line = Line()
    recipe = fit.Recipe(steps=2, rate=0.1)
    path = tmp_path / "line.pt"
    fit.fit("line", line, line.loss, recipe, path)
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(ValueError, match=f"{path} is damaged, remove it to begin this stage anew"):
        fit.fit("line", line, line.loss, recipe, path)

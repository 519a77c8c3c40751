"""What training marks pictures by: no loss for the right picture, some for each fault."""

import torch
import torch.nn.functional as F
from slipstream_engine.train.losses import BLOCK_PX, grid_loss, line_loss, picture_loss
from torch import Tensor


def lines(*, frames: int = 4) -> Tensor:
    """Stripes of four pixels, standing still, `[1, T, 3, 32, 32]`."""
    stripe = (torch.arange(32) // 4 % 2).float()
    return stripe.expand(1, frames, 3, 32, 32).clone()


def test_the_right_picture_has_no_loss() -> None:
    """a picture as it is wanted is marked with zero by all."""
    for loss in (picture_loss, line_loss, grid_loss):
        assert loss(lines(), lines()) == 0


def test_lines_must_not_be_blurred() -> None:
    """blurred lines and lines that are not wanted are both marked, the more the worse."""
    soft = F.avg_pool2d(lines()[0], 3, stride=1, padding=1, count_include_pad=False)[None]
    flat = torch.full_like(lines(), 0.5)
    assert 0 < line_loss(soft, lines()) < line_loss(flat, lines())
    assert line_loss(lines(), flat) > 1


def test_where_lines_are_does_not_matter_to_their_amount() -> None:
    """a shift of the lines inside a window is left to the squared error."""
    moved = lines().roll(2, dims=-1)
    assert line_loss(moved, lines()) < 0.2
    assert picture_loss(moved, lines()) > 1


def test_a_pulse_on_a_still_picture_counts() -> None:
    """the same change costs much more where nothing should move than where everything does."""
    still = torch.full((1, 4, 3, 16, 16), 0.5)
    pulse = torch.tensor([0.0, 0.02, 0.0, 0.02]).reshape(1, 4, 1, 1, 1)
    moving = still + 0.1 * torch.arange(4).reshape(1, 4, 1, 1, 1)
    assert picture_loss(still + pulse, still) > 5 * picture_loss(moving + pulse, moving)


def test_a_grid_counts_and_other_errors_do_not() -> None:
    """an error that every block makes alike is marked; a wrong colour or plain noise hardly is."""
    wanted = torch.full((1, 4, 3, 64, 64), 0.5)
    random = torch.Generator().manual_seed(0)
    block = 0.05 * torch.randn(BLOCK_PX, BLOCK_PX, generator=random)
    noise = 0.05 * torch.randn(wanted.shape, generator=random)
    grid = grid_loss(wanted + block.repeat(8, 8), wanted)
    assert grid > 10 * grid_loss(wanted + noise, wanted) > 0
    assert grid_loss(wanted + 0.1, wanted) < grid / 1000

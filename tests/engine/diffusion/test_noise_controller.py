"""diffusion/noise_controller.py: the controller's exact values (`spec/03` section 7)."""

import pytest
import torch
from slipstream_engine.config import MotionParams, ScheduleParams
from slipstream_engine.diffusion.flow_matching import FlowSchedule
from slipstream_engine.diffusion.noise_controller import motion_level, next_noise_scale

PARAMS = MotionParams()


def scale(value: float) -> torch.Tensor:
    return torch.tensor(value, dtype=torch.float64)


@pytest.mark.parametrize(
    ("motion", "expected"),
    [
        (0.0, [(0.8, 700)] * 3),
        (0.5, [(0.755, 655), (0.7505, 650), (0.75005, 650)]),
        (1.0, [(0.71, 610), (0.701, 601), (0.7001, 600)]),
    ],
)
def test_constant_motion(motion: float, expected: list[tuple[float, int]]) -> None:
    """Constant motion draws the scale to base - 0.1 * motion; its timestep is truncated."""
    schedule = FlowSchedule(ScheduleParams(step_list=(700,), steps=1), torch.device("cpu"))
    base = last = scale(0.8)
    for noise_scale, timestep in expected:
        last = next_noise_scale(base, last, torch.tensor(motion), PARAMS)
        assert last.item() == pytest.approx(noise_scale, abs=1e-12)
        assert schedule.first_timestep(last).item() == timestep


def test_double_arithmetic_is_pythons() -> None:
    """The tensor's expression gives the very double that Python's gives, digit for digit."""
    last = 0.8
    for step in range(200):
        motion = (step * 37 % 101) / 101
        ours = next_noise_scale(scale(0.8), scale(last), torch.tensor(motion), PARAMS)
        last = (0.8 - 0.1 * float(torch.tensor(motion))) * 0.9 + last * 0.1
        assert ours.item() == last


def test_level() -> None:
    """The liveliest frame decides, the first against the one before; 0.2 is full motion."""
    still = torch.zeros(4, 3, 8, 8)
    assert motion_level(still, still[0], PARAMS).item() == 0
    assert motion_level(still, still[0] + 0.1, PARAMS).item() == pytest.approx(0.5)
    jump = still.clone()
    jump[2:] += 0.15
    assert motion_level(jump, still[0], PARAMS).item() == pytest.approx(0.75)
    assert motion_level(still + 1, still[0], PARAMS).item() == 1

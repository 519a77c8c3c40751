"""diffusion/flow_matching.py: timesteps and sigmas (`spec/03`)."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from slipstream_engine.config import ScheduleParams
from slipstream_engine.diffusion.flow_matching import (
    FlowSchedule,
    add_noise,
    follow,
    mix_noise,
)
from slipstream_engine.presets import PRESETS

CPU = torch.device("cpu")
WAN = FlowSchedule(PRESETS["wan-1.3b"].schedule, CPU)
TINY = FlowSchedule(PRESETS["tiny"].schedule, CPU)


@pytest.mark.parametrize(
    ("timestep", "sigma"),
    [
        (1000, 1.0),
        (750, 0.750257671),
        (700, 0.700232387),
        (699, 0.699029148),
        (500, 0.499718636),
        (250, 0.250000030),
        (100, 0.102003641),
        (0, 0.007944390),
    ],
)
def test_known_sigmas(timestep: int, sigma: float) -> None:
    """The sigma of a timestep is the nearest table entry's; that of 0 is not 0."""
    assert WAN.sigma(torch.tensor(timestep)).item() == pytest.approx(sigma, abs=1e-7)


def first(schedule: FlowSchedule, noise_scale: float) -> int:
    return int(schedule.first_timestep(torch.tensor(noise_scale, dtype=torch.float64)))


def test_first_timestep_is_one_formula() -> None:
    """Wan feeds 100 less than its noise, tiny 300 more; both are cut to the schedule's ends."""
    assert (first(WAN, 0.8), first(WAN, 0.7109), first(WAN, 0.0)) == (700, 610, 0)
    assert (first(TINY, 0.15), first(TINY, 0.3)) == (450, 600)


def timesteps(begin: int, listed: tuple[int, ...]) -> list[int]:
    computed = WAN.timesteps(torch.tensor(begin), torch.tensor(listed))
    return [int(t) for t in computed]


def test_a_list_that_falls_stays() -> None:
    """Only the first entry is replaced while the list does not rise, equality included."""
    assert timesteps(655, (700, 500, 400, 200)) == [655, 500, 400, 200]
    assert timesteps(500, (700, 500)) == [500, 500]
    assert timesteps(620, (700,)) == [620]


def test_a_list_that_would_rise_steps_down() -> None:
    """Where the noise scale is too low for the list, the other steps follow 50 apart."""
    assert timesteps(400, (700, 500, 400, 200)) == [400, 350, 300, 200]
    assert timesteps(60, (700, 500, 400, 200)) == [60, 10, 0, 0]


@given(st.integers(0, 1000), st.integers(0, 1000))
def test_follow_undoes_add_noise(timestep: int, seed: int) -> None:
    """Along its own flow a noised picture leads back to the clean one."""
    generator = torch.Generator().manual_seed(seed)
    clean, noise = torch.randn(2, 3, 4, 4, generator=generator)
    sigma = WAN.sigma(torch.tensor(timestep))[None]
    x = add_noise(clean, noise, sigma)
    torch.testing.assert_close(follow(x, noise - clean, sigma), clean, atol=1e-6, rtol=1e-5)


def test_mixing_rounds_products_not_the_scale() -> None:
    """In bfloat16 the scale keeps its digits, as a python number would in the reference."""
    latents, noise = torch.randn(2, 64).bfloat16()
    scale = 0.7109
    computed = mix_noise(latents, noise, torch.tensor(scale, dtype=torch.float64))
    assert torch.equal(computed, noise * scale + latents * (1 - scale))


def test_tiny_renoises_below_what_it_is_told() -> None:
    """between steps tiny's chunk is noised to the level of an earlier timestep than the one fed."""
    offset = PRESETS["tiny"].schedule.renoise_offset
    assert offset > 0
    fed = torch.tensor([400])
    assert torch.equal(TINY.renoise_sigma(fed), TINY.sigma(fed - offset))


def test_bad_schedules_are_refused() -> None:
    """A list that does not fall, too many steps, and a scale outside its range are errors."""
    with pytest.raises(ValueError, match=r"step_list is \[500, 700\], it must fall"):
        ScheduleParams(step_list=(500, 700), steps=1)
    with pytest.raises(ValueError, match="steps is 3, the list has 1"):
        ScheduleParams(step_list=(700,), steps=3)
    with pytest.raises(ValueError, match=r"noise_scale is 0\.8, it must lie in 0\.1 to 0\.3"):
        ScheduleParams(step_list=(700,), steps=1, noise_scale_range=(0.1, 0.3))

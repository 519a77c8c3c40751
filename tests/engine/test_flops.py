"""The transformer does the work the roofline counts, and no more."""

import pytest
import torch
from slipstream_engine.cache import RollingCache
from slipstream_engine.config import PRESETS
from slipstream_engine.denoise import MicroSteps, denoise
from slipstream_engine.models.dit import CausalDit
from slipstream_engine.schedule import Schedule
from slipstream_engine.span import span
from torch.utils.flop_counter import FlopCounterMode

META = torch.device("meta")
HEIGHT, WIDTH = 60, 104  # latents of 480x832


@pytest.mark.parametrize(("preset", "tera"), [("wan-1.3b", 6.74), ("wan-14b", 49.91)])
def test_a_step_costs_what_the_roofline_says(preset: str, tera: float) -> None:
    """One micro-step at 480x832 with a full cache, on meta tensors: 6.74 and 49.91 TFLOP."""
    sizes = PRESETS[preset]
    with META:
        model = CausalDit(sizes.dit).requires_grad_(False)
    rows, columns = model.grid(HEIGHT, WIDTH)
    cache = RollingCache(
        sizes.dit,
        sizes.cache,
        rows=1,
        frame_tokens=rows * columns,
        device=META,
        dtype=torch.float32,
    )
    schedule = Schedule(sizes.schedule, META)
    conditioning = model.condition(torch.empty(1, 512, 4096, device=META))
    batch = MicroSteps(
        x_BFchw=torch.empty(1, 1, 16, HEIGHT, WIDTH, device=META),
        timesteps_B=torch.empty(1, dtype=torch.int64, device=META),
        spans=[span(sizes.cache, past_frames=20, frames=1)],
    )
    with FlopCounterMode(display=False) as counter:
        denoise(model, schedule, batch, cache, conditioning)
    assert counter.get_total_flops() / 1e12 == pytest.approx(tera, abs=0.006)

"""Family i: the motion-aware noise controller."""

import torch
from slipstream_engine.config import MotionParams, ScheduleParams
from slipstream_engine.diffusion.flow_matching import FlowSchedule
from slipstream_engine.diffusion.noise_controller import motion_level, next_noise_scale
from torch import Tensor

from tests.golden.case import Case, Replay

BF16 = "the reference's own rounding to bfloat16"


class Controller:
    """Noise scales and first timesteps of a stream's pushes of frames."""

    def __init__(self, noise_scale: float) -> None:
        params = ScheduleParams(step_list=(700,), steps=1, noise_scale=noise_scale)
        self.schedule = FlowSchedule(params, torch.device("cpu"))
        self.base = torch.tensor(noise_scale, dtype=torch.float64)
        self.scale = self.base

    def push(self, frames_TCHW: Tensor, before_CHW: Tensor) -> tuple[Tensor, Tensor]:
        params = MotionParams()
        motion = motion_level(frames_TCHW, before_CHW, params)
        self.scale = next_noise_scale(self.base, self.scale, motion, params)
        return self.scale, self.schedule.first_timestep(self.scale)


def replay(case: Case) -> Replay:
    tensors: dict[str, Tensor] = {}
    for form, frames in (
        ("", case.config["chunk_size"]),
        ("session.", case.config["session_frames"]),
    ):
        scales, steps = _control(case, frames)
        tensors[f"out.{form}noise_scale.float32"] = scales
        tensors[f"out.{form}current_step.float32"] = steps
    return Replay(tensors=tensors, left_out={"*.bfloat16": BF16})


def _control(case: Case, push: int) -> tuple[Tensor, Tensor]:
    frames_TCHW = case.tensor("in.frames").transpose(0, 1).float() / 127.5 - 1
    controller = Controller(case.config["noise_scale"])
    first = 1 + case.config["chunk_size"]
    answers = [
        controller.push(frames_TCHW[start : start + push], frames_TCHW[start - 1])
        for start in range(first, len(frames_TCHW) - push + 1, push)
    ]
    return torch.stack([scale for scale, _ in answers]), torch.stack([step for _, step in answers])

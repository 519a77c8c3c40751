"""The motion-aware noise controller: the more motion, the less noise (`spec/03` section 7).

All of it stays on the device in 0-dim tensors, so the host never waits for the device. The
arithmetic is double precision in the reference's order, because the timestep is
truncated, so that its last digit may decide it.

T frames, C channels, H height, W width.
"""

import torch
from torch import Tensor

from slipstream_engine.config import MotionParams
from slipstream_engine.models.dit.rope import exact_dtype


def motion_level(frames_TCHW: Tensor, before_CHW: Tensor, params: MotionParams) -> Tensor:
    """How much these frames move: the largest difference of one from the frame before it.

    Args:
        frames_TCHW: new frames in [-1, 1].
        before_CHW: the frame just before them.

    Returns:
        0 (still) to 1 (full motion), 0-dim, in the frames' dtype.
    """
    change_TCHW = torch.diff(frames_TCHW, dim=0, prepend=before_CHW[None])
    rms_T = change_TCHW.square().mean(dim=(1, 2, 3)).sqrt()
    return (rms_T.amax() / params.full_motion).clamp(0, 1)


def next_noise_scale(base: Tensor, last: Tensor, motion: Tensor, params: MotionParams) -> Tensor:
    """The noise scale of a chunk.

    Args:
        base: the stream's setting, 0-dim float64.
        last: the noise scale of the chunk before, 0-dim float64.
        motion: from `motion_level`.
    """
    calm = 1.0 - params.inertia
    return (
        base - params.noise_drop * motion.to(exact_dtype(motion.device))
    ) * calm + last * params.inertia

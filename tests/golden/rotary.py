"""Family k: rotary positions and the timestep sinusoid."""

import torch
from slipstream_engine.models.dit.rope import Rope, rope_table, rotate, timestep_sinusoid
from torch import Tensor

from tests.golden.case import Case, Replay

POSITIONS = 1024
WIDTH = 256  # of the timestep sinusoid


def replay(case: Case) -> Replay:
    config = case.config
    q_BLHD = case.tensor("in.q")
    cos_NP, sin_NP = rope_table(config["head_dim"], POSITIONS)
    rows = config["table_rows"]

    def turned(starts_B: Tensor) -> Tensor:
        rope = Rope(config["head_dim"], POSITIONS, q_BLHD.device)
        samples = []
        grids_B = case.tensor("in.grid_sizes").tolist()
        for q_LHD, start, (frames, height, width) in zip(q_BLHD, starts_B, grids_B, strict=True):
            tokens = frames * height * width
            rotation = rope.rotation((start + torch.arange(frames))[None], height, width)
            turned_LHD = rotate(q_LHD[None, :tokens], rotation)[0]
            samples.append(torch.cat([turned_LHD, q_LHD[tokens:]]))
        return torch.stack(samples)

    scalar = torch.full((config["B"],), config["scalar_start"])
    tensors = {
        "out.causal_rope": turned(case.tensor("in.start_frames")),
        "out.causal_rope.scalar_start": turned(scalar),
        "out.rope_apply": turned(torch.zeros_like(scalar)),
        "out.freqs_cos": cos_NP[:rows],
        "out.freqs_sin": sin_NP[:rows],
        "out.freqs_cos_row1023": cos_NP[1023:],
        "out.freqs_sin_row1023": sin_NP[1023:],
        "out.sinusoidal_embedding_1d": timestep_sinusoid(case.tensor("in.timesteps"), WIDTH),
    }
    return Replay(
        tensors={name: tensor for name, tensor in tensors.items() if name in case.outputs}
    )

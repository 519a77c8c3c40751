"""Rotary positions in time, height and width, and the sinusoid of a timestep.

Source: `spec/01` sections 4.2 and 5. Neighbouring numbers of a head are the pairs (GPT-J style);
    the pairs are split between frame, row and column as (P - 2 * (P // 3), P // 3, P // 3).

B batch, F frames, S tokens of a frame, L tokens, H heads, D head dim, P = D / 2 pairs.
"""

import torch
from einops import rearrange, repeat
from torch import Tensor

THETA = 10_000.0


def exact_dtype(device: torch.device) -> torch.dtype:
    """float64 where the device has it; Apple's GPUs do not."""
    return torch.float32 if device.type == "mps" else torch.float64


def timestep_sinusoid(timesteps: Tensor, width: int) -> Tensor:
    """The sinusoidal embedding of timesteps, cosines first.

    Args:
        timesteps: of any shape.
        width: of the embedding, even.

    Returns:
        `[..., width]`, float64.
    """
    dtype = exact_dtype(timesteps.device)
    half = width // 2
    exponent = torch.arange(half, device=timesteps.device, dtype=dtype) / -half
    angle = timesteps.to(dtype)[..., None] * THETA**exponent
    return torch.cat([angle.cos(), angle.sin()], dim=-1)


def pair_split(head_dim: int) -> tuple[int, int, int]:
    """How many pairs of a head turn with frame, row and column."""
    pairs = head_dim // 2
    return pairs - 2 * (pairs // 3), pairs // 3, pairs // 3


def rope_table(head_dim: int, positions: int) -> tuple[Tensor, Tensor]:
    """Cosines and sines of every position on every axis.

    Returns:
        Two float32 tensors `[positions, P]`, rounded from float64; columns are frame, row and
        column pairs.
    """
    position = torch.arange(positions, dtype=torch.float64)[:, None]
    angles = torch.cat(
        [
            position * THETA ** (torch.arange(count, dtype=torch.float64) / -count)
            for count in pair_split(head_dim)
        ],
        dim=1,
    )
    return angles.cos().float(), angles.sin().float()


class Rope:
    """Turns queries and keys by where their tokens stand.

    The tables are plain tensors, not buffers: they are no part of a checkpoint and keep float32
        when the model is cast.
    """

    def __init__(self, head_dim: int, positions: int, device: torch.device) -> None:
        self._table_NP2 = torch.stack(rope_table(head_dim, positions), dim=-1).to(device)
        self._frame_pairs = pair_split(head_dim)[0]
        self._row_pairs = pair_split(head_dim)[1]

    def rotation(self, frames_BF: Tensor, rows: int, columns: int) -> Tensor:
        """The turns of a grid of tokens: cosine and sine of each pair.

        Args:
            frames_BF: temporal positions of each sample's frames, int64, below the table's length.
            rows, columns: of the token grid.

        Returns:
            `[B, F * rows * columns, 1, P, 2]`, float32, tokens in the order (frame, row, column).
        """
        batch, frames = frames_BF.shape
        in_time, in_rows, in_columns = self._table_NP2.split(
            [self._frame_pairs, self._row_pairs, self._row_pairs], dim=1
        )
        grid = torch.cat(
            [
                repeat(in_rows[:rows], "y p c -> y x p c", x=columns),
                repeat(in_columns[:columns], "x p c -> y x p c", y=rows),
            ],
            dim=-2,
        )
        tokens = rows * columns
        grid = repeat(grid, "y x p c -> b f (y x) p c", b=batch, f=frames)
        time = repeat(in_time[frames_BF], "b f p c -> b f s p c", s=tokens)
        return rearrange(torch.cat([time, grid], dim=-2), "b f s p c -> b (f s) 1 p c")


def rotate(x_BLHD: Tensor, rotation: Tensor) -> Tensor:
    """Turn every pair of `x_BLHD` by `rotation`, in float32, back in the dtype it came in.

    A pair is a complex number: one product, where cosines and sines apart take seven passes.
    """
    pairs = x_BLHD.float().unflatten(-1, (-1, 2))
    turned = torch.view_as_real(torch.view_as_complex(pairs) * torch.view_as_complex(rotation))
    return turned.flatten(-2).to(x_BLHD.dtype)

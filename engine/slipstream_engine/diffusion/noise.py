"""Counter-based noise: a function of seed, chunk and step only.

The same stream gets the same noise in any batch, in any order, in any process and on any kind of
device, because it is computed by hashing counters instead of drawing from a generator with a state.
The hash is the finaliser of SplitMix64 (Steele, Lea and Flood, OOPSLA 2014), the normal numbers are
Box and Muller's.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from slipstream_engine.config import NoiseMode

_MASK = 2**64 - 1
_GOLDEN_GAMMA = 0x9E3779B97F4A7C15
_FIRST_FACTOR = 0xBF58476D1CE4E5B9
_SECOND_FACTOR = 0x94D049BB133111EB
_UNIFORM_BITS = 24


def noise_key(*, seed: int, chunk: int, step: int) -> int:
    """The key of one micro-step's noise, 64 bits, as torch's signed integer."""
    key = 0
    for part in (seed, chunk, step):
        key = _mix(key ^ _mix(part + _GOLDEN_GAMMA))
    return _signed(key)


def step_key(mode: NoiseMode, *, seed: int, chunk: int, step: int) -> int:
    """The key of the noise that goes into a chunk's denoising step.

    Args:
        mode: with `FIXED` all chunks of a stream share the keys of chunk 0.
        chunk: its number in the stream.
        step: number of the denoising step, counted from 0.
    """
    return noise_key(seed=seed, chunk=chunk if mode is NoiseMode.FRESH else 0, step=step)


def keyed_noise(
    mode: NoiseMode,
    key: int | Tensor,
    shape: Sequence[int],
    *,
    device: torch.device,
    dtype: torch.dtype,
) -> Tensor:
    """The noise of a key.

    Args:
        mode: with `FIXED` all frames of a chunk are alike.
        key: from `step_key`; on the device it can be an input of a recorded graph.
        shape: `[F, C, h, w]`.
    """
    if mode is NoiseMode.FRESH:
        return normal(key, shape, device).to(dtype)
    return normal(key, shape[1:], device).to(dtype).expand(*shape)


def normal(key: int | Tensor, shape: Sequence[int], device: torch.device) -> Tensor:
    """Standard normal numbers of a key, float32; a longer draw begins with a shorter one."""
    count = math.prod(shape)
    pairs = (count + 1) // 2
    counter = torch.arange(1, 2 * pairs + 1, device=device) * _signed(_GOLDEN_GAMMA) + key
    uniform: Tensor = _shift(_hash(counter), 64 - _UNIFORM_BITS).float() * 2.0**-_UNIFORM_BITS
    radius = (-2 * torch.log1p(-uniform[0::2])).sqrt()
    angle = 2 * math.pi * uniform[1::2]
    both = torch.stack([radius * angle.cos(), radius * angle.sin()], dim=1)
    return both.flatten()[:count].reshape(tuple(shape))


def _hash(x: Tensor) -> Tensor:
    x = (x ^ _shift(x, 30)) * _signed(_FIRST_FACTOR)
    x = (x ^ _shift(x, 27)) * _signed(_SECOND_FACTOR)
    return x ^ _shift(x, 31)


def _shift(x: Tensor, bits: int) -> Tensor:
    """Shift right without the sign; torch's own shift repeats it."""
    shifted: Tensor = x >> bits
    kept: int = (1 << 64 - bits) - 1
    return shifted & kept


def _mix(x: int) -> int:
    x &= _MASK
    x = (x ^ (x >> 30)) * _FIRST_FACTOR & _MASK
    x = (x ^ (x >> 27)) * _SECOND_FACTOR & _MASK
    return x ^ (x >> 31)


def _signed(x: int) -> int:
    return x - 2**64 if x >= 2**63 else x

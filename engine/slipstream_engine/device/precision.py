"""The precision of matrix products."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def reduced_precision_matmul() -> Iterator[None]:
    """Inside, factors of float32 may be rounded to bfloat16 or TF32 where that is faster.

    For models that were trained with it; sums stay in float32. On a CPU torch then calls oneDNN,
    which is far faster than its default library on AMD's, even where nothing is rounded.
    """
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)

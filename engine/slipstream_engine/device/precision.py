"""How exactly matrix products are taken."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def reduced_precision_matmul() -> Iterator[None]:
    """Factors of float32 may be rounded to bfloat16 or TF32 inside, where that is quicker.

    For models that were trained so; sums stay in float32. On a CPU oneDNN then takes the products,
    which beats torch's usual library by far on AMD's even where nothing is rounded.
    """
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)

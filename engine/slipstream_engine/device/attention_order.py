"""Which of torch's attention kernels is tried first: the one that was fastest on the device.

Which that is depends on the GPU, the torch build and the lengths, and torch's own order knows none
of them. A kernel that cannot take a shape is passed over for the next in the order.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from statistics import median

import torch
import torch.nn.functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

CANDIDATES = {
    "cuDNN": SDPBackend.CUDNN_ATTENTION,
    "flash": SDPBackend.FLASH_ATTENTION,
    "efficient": SDPBackend.EFFICIENT_ATTENTION,
}
_LAST = SDPBackend.MATH  # takes every shape, and holds the scores of all pairs in memory
_TRIES = 9

Timer = Callable[[Callable[[], object]], float]
"""Runs work some times; the median time of one run in ms."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AttentionShape:
    """One attention of a denoising step.

    Args:
        queries, keys: tokens.
        calls: of it in a step.
    """

    batch: int
    heads: int
    queries: int
    keys: int
    head_dim: int
    calls: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AttentionOrder:
    """The kernels, the best first.

    Args:
        step_ms: what all attention of a denoising step takes in each; None where it cannot.
    """

    names: tuple[str, ...]
    step_ms: Mapping[str, float | None]

    @property
    def note(self) -> str:
        """One line, for people."""
        times = ", ".join(
            f"{name} {'-' if (ms := self.step_ms[name]) is None else f'{ms:.2f}'}"
            for name in self.names
        )
        return f"attention by {self.names[0]} (ms a step: {times})"

    def in_force(self) -> AbstractContextManager[None]:
        """Inside, torch tries the kernels in this order, for all threads."""
        backends = [CANDIDATES[name] for name in self.names]
        return sdpa_kernel([*backends, _LAST], set_priority=True)


def order_by_times(
    times_ms: Mapping[str, Sequence[float | None]], shapes: Sequence[AttentionShape]
) -> AttentionOrder:
    """The kernels by what a whole step takes; those that cannot do all of it come last.

    Args:
        times_ms: of each kernel, what one call of each shape takes; None where it cannot.
    """
    step_ms = {
        name: None
        if None in each
        else sum(ms * shape.calls for ms, shape in zip(each, shapes, strict=True) if ms is not None)
        for name, each in times_ms.items()
    }
    names = sorted(step_ms, key=lambda name: math.inf if (ms := step_ms[name]) is None else ms)
    return AttentionOrder(names=tuple(names), step_ms=step_ms)


def measure_order(
    shapes: Sequence[AttentionShape],
    *,
    device: torch.device,
    dtype: torch.dtype,
    timer: Timer,
) -> AttentionOrder:
    """Time every kernel at every shape, on random numbers."""
    return order_by_times(
        {
            name: [_time(backend, shape, device, dtype, timer) for shape in shapes]
            for name, backend in CANDIDATES.items()
        },
        shapes,
    )


def _time(
    backend: SDPBackend,
    shape: AttentionShape,
    device: torch.device,
    dtype: torch.dtype,
    timer: Timer,
) -> float | None:
    sizes = [(shape.batch, shape.heads, n, shape.head_dim) for n in (shape.queries, shape.keys)]
    q_BHLD, k_BHKD = (torch.randn(size, device=device, dtype=dtype) for size in sizes)
    with sdpa_kernel(backend):
        try:
            return timer(lambda: F.scaled_dot_product_attention(q_BHLD, k_BHKD, k_BHKD))
        except RuntimeError:  # "No available kernel", and whatever cuDNN cannot plan
            return None


def device_timer(device: torch.device) -> Timer:
    """Times work by the events of a CUDA device."""

    def time_ms(work: Callable[[], object]) -> float:
        work()  # chooses and compiles
        found = []
        for _ in range(_TRIES):
            begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            begin.record()
            work()
            end.record()
            torch.cuda.synchronize(device)
            found.append(begin.elapsed_time(end))
        return float(median(found))

    return time_ms

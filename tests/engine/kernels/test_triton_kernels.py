"""kernels/triton_kernels.py held to kernels/plain_forms.py, on a GPU or in Triton's interpreter."""

from collections.abc import Iterator
from importlib.util import find_spec
from types import ModuleType
from typing import Any

import pytest
import torch
from slipstream_engine.kernels import plain_forms as typed_plain_forms
from slipstream_engine.kernels.sink_rule import SinkRule
from torch import Tensor

pytestmark = pytest.mark.skipif(
    find_spec("triton") is None, reason="triton is not installed: pip install slipstream[kernels]"
)

plain_forms: Any = typed_plain_forms  # its arguments come from tuples here
WIDTH, HEAD_PAIRS, EPS = 24, 4, 1e-6  # not a power of two, three heads
# float16 stands for bfloat16: it is rounded in the same places, and the interpreter cuts bfloat16
# off instead of rounding it
DTYPES = [torch.float32, torch.float16]
TOLERANCE = {torch.float32: 2e-6, torch.float16: 2e-3}
RULE = SinkRule(sinks=3, threshold=0.2, pinned_slots=3, ring_slots=3, count_unwritten=True)


@pytest.fixture
def kernels() -> ModuleType:
    from slipstream_engine.kernels import triton_kernels

    return triton_kernels


@pytest.fixture(autouse=True)
def _on_device() -> Iterator[None]:
    torch.manual_seed(0)
    with torch.device("cuda" if torch.cuda.is_available() else "cpu"):
        yield


def assert_alike(ours: Tensor, plain: Tensor, dtype: torch.dtype) -> None:
    assert (ours.shape, ours.dtype) == (plain.shape, plain.dtype)
    tolerance = TOLERANCE[dtype]
    torch.testing.assert_close(ours, plain, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("with_y", "with_gate"), [(False, False), (True, False), (True, True)])
@pytest.mark.parametrize("is_modulated", [False, True])
def test_residual_norm(
    kernels: ModuleType, dtype: torch.dtype, with_y: bool, with_gate: bool, is_modulated: bool
) -> None:
    """Every form: with and without a sum, a gate, a scale of the frame; gates are strided views."""
    x, y = torch.randn(2, 2, 3, 5, WIDTH, dtype=dtype).unbind()
    x[0, 0, 0] = 0  # a token without variance
    frames = torch.randn(2, 3, 6, WIDTH, dtype=dtype)
    scale, shift = frames[:, :, 1], frames[:, :, 0]
    if not is_modulated:
        scale, shift = torch.randn(2, WIDTH, dtype=dtype).unbind()
    gate = frames[:, :, 2] if with_gate else None
    inputs = (x, y if with_y else None, gate, scale, shift, EPS)
    for ours, plain in zip(
        kernels.triton_residual_norm(*inputs), plain_forms.plain_residual_norm(*inputs), strict=True
    ):
        assert_alike(ours, plain, dtype)


@pytest.mark.parametrize("dtype", DTYPES)
def test_rms_norm(kernels: ModuleType, dtype: torch.dtype) -> None:
    """Zeros stay zeros, large numbers do not overflow."""
    x = torch.randn(2, 5, WIDTH, dtype=dtype)
    x[0, 0], x[0, 1] = 0, 1e3
    weight = torch.randn(WIDTH, dtype=dtype)
    assert_alike(
        kernels.triton_rms_norm(x, weight, EPS), plain_forms.plain_rms_norm(x, weight, EPS), dtype
    )


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("pieces", [(1, 4, 4), (3,), (1, 1, 1)])
def test_norm_silu_window(kernels: ModuleType, dtype: torch.dtype, pieces: tuple[int, ...]) -> None:
    """Windows and tails chunk after chunk, also of one frame, where a part of the past stays."""
    gain = torch.randn(24, dtype=dtype)
    ours, plain = torch.zeros(2, 2, 2, 3, 5, 24, dtype=dtype).unbind()
    for frames in pieces:
        x = torch.randn(2, frames, 3, 5, 24, dtype=dtype)
        x[:, 0, 0, 0] = 0
        our_window = kernels.triton_norm_silu_window(x, ours, gain, 1e-24 / 24)
        plain_window = plain_forms.plain_norm_silu_window(x, plain, gain, 1e-24 / 24)
        assert our_window.shape == (2, 2 + frames, 3, 5, 24)
        assert_alike(our_window, plain_window, dtype)
        assert_alike(ours, plain, dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("tokens", [1, 16, 33])
def test_norm_rotate(kernels: ModuleType, dtype: torch.dtype, tokens: int) -> None:
    """Queries, keys and the sums, with frames of less, just and more than a group of tokens."""
    q, k, v = torch.randn(3, 2, tokens, WIDTH, dtype=dtype).unbind()
    weights = torch.randn(2, WIDTH, dtype=dtype).unbind()
    angle = torch.randn(2, tokens, HEAD_PAIRS)
    turns = torch.stack([angle.cos(), angle.sin()], dim=-1)
    *ours, our_sums = kernels.triton_norm_rotate(q, k, v, *weights, turns, EPS)
    *plain, plain_sums = plain_forms.plain_norm_rotate(q, k, v, *weights, turns, EPS)
    for our, their in zip(ours, plain, strict=True):
        assert_alike(our, their, dtype)
    # one rounding of a key may differ, and shows in a sum of many
    tolerance = max(1, tokens) * TOLERANCE[dtype]
    torch.testing.assert_close(
        our_sums.sum(dim=1), plain_sums.sum(dim=1), rtol=tolerance, atol=tolerance
    )


def eviction_state(rows: int, slots: int) -> list[Tensor]:
    return [
        torch.randint(0, RULE.ring_slots, (rows,)),
        torch.randint(0, RULE.sinks, (rows, slots + 2)),
        torch.randint(0, slots + 3, (rows,)),  # also full, also empty
        torch.randn(rows, slots, 2 * WIDTH),
    ]


@pytest.mark.parametrize("count_unwritten", [True, False])
@pytest.mark.parametrize("seed", range(6))
def test_choose_slots(kernels: ModuleType, seed: int, count_unwritten: bool) -> None:
    """Slots and the whole state after four frames: filling and full rows, unwritten and equal
    sinks, stacks empty and full, rows in any order."""
    torch.manual_seed(seed)
    rule = SinkRule(
        sinks=3, threshold=0.2, pinned_slots=3, ring_slots=3, count_unwritten=count_unwritten
    )
    ours = eviction_state(rows=5, slots=6)
    ours[3][0, 1] = 0  # a sink that was never written
    ours[3][1, 2] = ours[3][1, 0]  # two sinks alike
    plain = [tensor.clone() for tensor in ours]
    for _ in range(4):
        rows = torch.randperm(5)[:3]
        fill = torch.tensor([-1, -1, -1, 0, 1, 2, 5])[torch.randint(0, 7, (3,))]
        sums = torch.randn(3, 2, 2 * WIDTH)
        our_slots = kernels.triton_choose_slots(sums, rows, fill, *ours, 7, rule)
        plain_slots = plain_forms.plain_choose_slots(sums, rows, fill, *plain, 7, rule)
        assert torch.equal(our_slots, plain_slots)
        for our, their in zip(ours[:3], plain[:3], strict=True):
            assert torch.equal(our, their)
        assert_alike(ours[3], plain[3], torch.float32)


@pytest.mark.parametrize("dtype", DTYPES)
def test_store_frame(kernels: ModuleType, dtype: torch.dtype) -> None:
    """Frames land in the slots of their rows, of a slice of a pool too, and nowhere else."""
    pool = torch.zeros(2, 5, 6, 7, WIDTH, dtype=dtype)
    ours, plain = pool[:, 1:4], pool.clone()[:, 1:4]
    k, v = torch.randn(2, 2, 7, WIDTH, dtype=dtype).unbind()
    rows, slots = torch.tensor([2, 0]), torch.tensor([5, 3])
    kernels.triton_store_frame(ours[0], ours[1], k, v, rows, slots)
    plain_forms.plain_store_frame(plain[0], plain[1], k, v, rows, slots)
    assert torch.equal(ours, plain)

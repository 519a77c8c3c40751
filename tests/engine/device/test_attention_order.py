"""Attention kernels by what they take on the device."""

import math
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from slipstream_engine.device.attention_order import (
    CANDIDATES,
    AttentionOrder,
    AttentionShape,
    measure_order,
    order_by_times,
)
from slipstream_engine.presets import PRESETS
from slipstream_engine.weights.factory import attention_shapes

SELF, CROSS = (
    AttentionShape(batch=1, heads=2, queries=8, keys=keys, head_dim=16, calls=3) for keys in (32, 5)
)
TIMES = st.one_of(st.none(), st.floats(0.01, 100))


@given(st.dictionaries(st.sampled_from(list(CANDIDATES)), st.tuples(TIMES, TIMES), min_size=1))
def test_the_fastest_over_a_whole_step_is_first(
    times_ms: dict[str, tuple[float | None, float | None]],
) -> None:
    """What cannot do one of the shapes comes after all that can."""
    order = order_by_times(times_ms, (SELF, CROSS))
    assert sorted(order.names) == sorted(times_ms)
    steps = [math.inf if (ms := order.step_ms[name]) is None else ms for name in order.names]
    assert steps == sorted(steps)
    for name, (first, second) in times_ms.items():
        whole = None if first is None or second is None else 3 * first + 3 * second
        assert order.step_ms[name] == (None if whole is None else pytest.approx(whole))


def test_a_kernel_that_the_device_has_not_comes_last() -> None:
    """On a CPU flash is the only one; in force, it is what runs."""
    runs = 0

    def count(work: Callable[[], object]) -> float:
        nonlocal runs
        work()
        runs += 1
        return 0.5

    order = measure_order(
        (SELF, CROSS), device=torch.device("cpu"), dtype=torch.float32, timer=count
    )
    assert order.names[0] == "flash" and runs == 2
    assert order.step_ms == {"cuDNN": None, "flash": 3.0, "efficient": None}
    assert order.note == "attention by flash (ms a step: flash 3.00, cuDNN -, efficient -)"
    q_BHLD = torch.randn(1, 2, 8, 16)
    plain = F.scaled_dot_product_attention(q_BHLD, q_BHLD, q_BHLD)
    with AttentionOrder(names=("flash",), step_ms=order.step_ms).in_force():
        assert torch.backends.cuda.flash_sdp_enabled() and torch.backends.cuda.math_sdp_enabled()
        assert not torch.backends.cuda.mem_efficient_sdp_enabled(), "it is not in the order"
    assert torch.backends.cuda.mem_efficient_sdp_enabled()
    with order.in_force():
        assert torch.equal(F.scaled_dot_product_attention(q_BHLD, q_BHLD, q_BHLD), plain)


def test_the_shapes_are_those_of_a_full_cache() -> None:
    """1560 tokens a frame at 832x480, 30 layers over the past and over 512 rows of text."""
    past, text = attention_shapes(PRESETS["wan-1.3b"], 8)
    slots = PRESETS["wan-1.3b"].cache.slots
    assert (past.queries, past.keys, past.calls) == (1560, 1560 * slots, 30)
    assert (text.queries, text.keys, text.heads, text.head_dim) == (1560, 512, 12, 128)

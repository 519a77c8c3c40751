"""The fused operators as torch knows them: `torch.ops.slipstream`.

An operator of its own is one launch to whoever counts, traces or records, and picks its form by the
device of its tensors. What each computes is said in `plain_forms.py`.
"""

import torch
from torch import Tensor

from slipstream_engine.kernels import plain_forms
from slipstream_engine.kernels.sink_rule import SinkRule


@torch.library.custom_op(
    "slipstream::residual_norm",
    mutates_args=(),
    schema=(
        "(Tensor x, Tensor? y, Tensor? gate, Tensor scale, Tensor shift, float eps) "
        "-> (Tensor, Tensor)"
    ),
)
def residual_norm(
    x: Tensor,
    y: Tensor | None,
    gate: Tensor | None,
    scale: Tensor,
    shift: Tensor,
    eps: float,
) -> tuple[Tensor, Tensor]:
    return plain_forms.plain_residual_norm(x, y, gate, scale, shift, eps)


@torch.library.custom_op(
    "slipstream::rms_norm", mutates_args=(), schema="(Tensor x, Tensor weight, float eps) -> Tensor"
)
def rms_norm(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    return plain_forms.plain_rms_norm(x, weight, eps)


@torch.library.custom_op(
    "slipstream::norm_rotate",
    mutates_args=(),
    schema=(
        "(Tensor q, Tensor k, Tensor v, Tensor q_weight, Tensor k_weight, Tensor turns, float eps) "
        "-> (Tensor, Tensor, Tensor)"
    ),
)
def norm_rotate(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    q_weight: Tensor,
    k_weight: Tensor,
    turns: Tensor,
    eps: float,
) -> tuple[Tensor, Tensor, Tensor]:
    return plain_forms.plain_norm_rotate(q, k, v, q_weight, k_weight, turns, eps)


@torch.library.custom_op(
    "slipstream::choose_slots",
    mutates_args=("head", "pending", "pending_count", "mean"),
    schema=(
        "(Tensor sums, Tensor rows, Tensor fill, Tensor(a!) head, Tensor(b!) pending, "
        "Tensor(c!) pending_count, Tensor(d!) mean, int tokens, int sinks, float threshold, "
        "int pinned_slots, int ring_slots, bool count_unwritten) -> Tensor"
    ),
)
def choose_slots(
    sums: Tensor,
    rows: Tensor,
    fill: Tensor,
    head: Tensor,
    pending: Tensor,
    pending_count: Tensor,
    mean: Tensor,
    tokens: int,
    sinks: int,
    threshold: float,
    pinned_slots: int,
    ring_slots: int,
    count_unwritten: bool,
) -> Tensor:
    rule = _rule(sinks, threshold, pinned_slots, ring_slots, count_unwritten)
    return plain_forms.plain_choose_slots(
        sums, rows, fill, head, pending, pending_count, mean, tokens, rule
    )


@torch.library.custom_op(
    "slipstream::store_frame",
    mutates_args=("keys", "values"),
    schema=(
        "(Tensor(a!) keys, Tensor(b!) values, Tensor k, Tensor v, Tensor rows, Tensor slots) -> ()"
    ),
)
def store_frame(
    keys: Tensor, values: Tensor, k: Tensor, v: Tensor, rows: Tensor, slots: Tensor
) -> None:
    plain_forms.plain_store_frame(keys, values, k, v, rows, slots)


@torch.library.custom_op(
    "slipstream::norm_silu_window",
    mutates_args=("tail",),
    schema="(Tensor x, Tensor(a!) tail, Tensor gain, float eps) -> Tensor",
)
def norm_silu_window(x: Tensor, tail: Tensor, gain: Tensor, eps: float) -> Tensor:
    return plain_forms.plain_norm_silu_window(x, tail, gain, eps)


def _rule(
    sinks: int, threshold: float, pinned_slots: int, ring_slots: int, count_unwritten: bool
) -> SinkRule:
    return SinkRule(
        sinks=sinks,
        threshold=threshold,
        pinned_slots=pinned_slots,
        ring_slots=ring_slots,
        count_unwritten=count_unwritten,
    )


@residual_norm.register_fake
def _(x: Tensor, *_: object) -> tuple[Tensor, Tensor]:
    return torch.empty_like(x), torch.empty_like(x)


@rms_norm.register_fake
def _(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    return torch.empty_like(x)


@norm_rotate.register_fake
def _(q: Tensor, k: Tensor, *_: object) -> tuple[Tensor, Tensor, Tensor]:
    sums = q.new_empty(q.shape[0], 1, 2 * q.shape[2], dtype=torch.float32)
    return torch.empty_like(q), torch.empty_like(k), sums


@choose_slots.register_fake
def _(sums: Tensor, rows: Tensor, *_: object) -> Tensor:
    return torch.empty_like(rows)


@store_frame.register_fake
def _(*_: object) -> None:
    return None


@norm_silu_window.register_fake
def _(x: Tensor, tail: Tensor, *_: object) -> Tensor:
    return x.new_empty(x.shape[0], tail.shape[1] + x.shape[1], *x.shape[2:])


@norm_silu_window.register_kernel("cuda")
def _(x: Tensor, tail: Tensor, gain: Tensor, eps: float) -> Tensor:
    from slipstream_engine.kernels import triton_kernels

    return triton_kernels.triton_norm_silu_window(x, tail, gain, eps)


@residual_norm.register_kernel("cuda")
def _(
    x: Tensor,
    y: Tensor | None,
    gate: Tensor | None,
    scale: Tensor,
    shift: Tensor,
    eps: float,
) -> tuple[Tensor, Tensor]:
    from slipstream_engine.kernels import triton_kernels

    return triton_kernels.triton_residual_norm(x, y, gate, scale, shift, eps)


@rms_norm.register_kernel("cuda")
def _(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    from slipstream_engine.kernels import triton_kernels

    return triton_kernels.triton_rms_norm(x, weight, eps)


@norm_rotate.register_kernel("cuda")
def _(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    q_weight: Tensor,
    k_weight: Tensor,
    turns: Tensor,
    eps: float,
) -> tuple[Tensor, Tensor, Tensor]:
    from slipstream_engine.kernels import triton_kernels

    return triton_kernels.triton_norm_rotate(q, k, v, q_weight, k_weight, turns, eps)


@choose_slots.register_kernel("cuda")
def _(
    sums: Tensor,
    rows: Tensor,
    fill: Tensor,
    head: Tensor,
    pending: Tensor,
    pending_count: Tensor,
    mean: Tensor,
    tokens: int,
    sinks: int,
    threshold: float,
    pinned_slots: int,
    ring_slots: int,
    count_unwritten: bool,
) -> Tensor:
    from slipstream_engine.kernels import triton_kernels

    rule = _rule(sinks, threshold, pinned_slots, ring_slots, count_unwritten)
    return triton_kernels.triton_choose_slots(
        sums, rows, fill, head, pending, pending_count, mean, tokens, rule
    )


@store_frame.register_kernel("cuda")
def _(keys: Tensor, values: Tensor, k: Tensor, v: Tensor, rows: Tensor, slots: Tensor) -> None:
    from slipstream_engine.kernels import triton_kernels

    triton_kernels.triton_store_frame(keys, values, k, v, rows, slots)

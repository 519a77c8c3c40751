"""The fused operators as Triton kernels; `plain_forms.py` says what each computes.

All but the choice of slots are one program for each token or for a few of them: a token's numbers
fit in registers, so every operand is read and written once. Sums are in float32.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from slipstream_engine.kernels.sink_rule import SinkRule

GROUP_TOKENS = 16  # one program's share of a frame where it also sums over tokens
GROUP_PIXELS = 16  # one program's share of a picture
WARPS = 8


@triton.jit
def _residual_norm(
    x_ptr, y_ptr, gate_ptr, scale_ptr, shift_ptr, total_ptr, out_ptr,
    frame_tokens, width, gate_stride, scale_stride, shift_stride, eps,
    HAS_Y: tl.constexpr, HAS_GATE: tl.constexpr, IS_MODULATED: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    token = tl.program_id(0).to(tl.int64)
    frame = token // frame_tokens
    column = tl.arange(0, BLOCK)
    inside = column < width
    kind = total_ptr.dtype.element_ty
    total = tl.load(x_ptr + token * width + column, mask=inside, other=0.0).to(tl.float32)
    if HAS_Y:
        y = tl.load(y_ptr + token * width + column, mask=inside, other=0.0).to(tl.float32)
        if HAS_GATE:
            y *= tl.load(gate_ptr + frame * gate_stride + column, mask=inside, other=0.0).to(
                tl.float32
            )
        total += y
    total = total.to(kind).to(tl.float32)
    tl.store(total_ptr + token * width + column, total.to(kind), mask=inside)
    mean = tl.sum(total, axis=0) / width
    centred = tl.where(inside, total - mean, 0.0)
    normed = centred / tl.sqrt(tl.sum(centred * centred, axis=0) / width + eps)
    scale_at, shift_at = scale_ptr + frame * scale_stride, shift_ptr + frame * shift_stride
    scale = tl.load(scale_at + column, mask=inside, other=0.0).to(tl.float32)
    shift = tl.load(shift_at + column, mask=inside, other=0.0).to(tl.float32)
    if IS_MODULATED:
        scale = (1 + scale).to(kind).to(tl.float32)
        normed = normed.to(kind).to(tl.float32)
    tl.store(out_ptr + token * width + column, (normed * scale + shift).to(kind), mask=inside)


@triton.jit
def _rms_norm(x_ptr, weight_ptr, out_ptr, width, eps, BLOCK: tl.constexpr):
    token = tl.program_id(0).to(tl.int64)
    column = tl.arange(0, BLOCK)
    inside = column < width
    kind = out_ptr.dtype.element_ty
    x = tl.load(x_ptr + token * width + column, mask=inside, other=0.0).to(tl.float32)
    normed = x / tl.sqrt(tl.sum(x * x, axis=0) / width + eps)
    weight = tl.load(weight_ptr + column, mask=inside, other=0.0).to(tl.float32)
    out = normed.to(kind).to(tl.float32) * weight
    tl.store(out_ptr + token * width + column, out.to(kind), mask=inside)


@triton.jit
def _norm_silu_window(
    x_ptr, tail_ptr, gain_ptr, window_ptr, pixels, width, frames, past, eps,
    GROUP: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    sample = tl.program_id(1).to(tl.int64)
    pixel = (tl.program_id(0) * GROUP + tl.arange(0, GROUP)).to(tl.int64)[:, None]
    column = tl.arange(0, BLOCK)[None, :]
    inside = (pixel < pixels) & (column < width)
    at = pixel * width + column
    frame = pixels.to(tl.int64) * width
    kind = window_ptr.dtype.element_ty
    gain = tl.load(gain_ptr + column, mask=column < width, other=0.0).to(tl.float32)
    # in the order of the frames: a tail's frame is read before a later one takes its place
    for number in range(past + frames):
        if number < past:
            value = tl.load(tail_ptr + (sample * past + number) * frame + at, mask=inside)
        else:
            at_x = x_ptr + (sample * frames + number - past) * frame + at
            x = tl.load(at_x, mask=inside, other=0.0).to(tl.float32)
            root = tl.sqrt(tl.sum(x * x, axis=1) / width + eps)
            normed = (x / root[:, None] * gain).to(kind).to(tl.float32)
            value = (normed * tl.sigmoid(normed)).to(kind)
        at_window = window_ptr + (sample * (past + frames) + number) * frame + at
        tl.store(at_window, value, mask=inside)
        if number >= frames:
            at_tail = tail_ptr + (sample * past + number - frames) * frame + at
            tl.store(at_tail, value, mask=inside)


@triton.jit
def _normed_pairs(x_ptr, weight_ptr, token, pair, inside, cos, sin, width, eps):
    """The even and the odd numbers of one token, normed and turned, rounded to its dtype."""
    kind = x_ptr.dtype.element_ty
    even = tl.load(x_ptr + token * width + 2 * pair, mask=inside, other=0.0).to(tl.float32)
    odd = tl.load(x_ptr + token * width + 2 * pair + 1, mask=inside, other=0.0).to(tl.float32)
    root = tl.sqrt((tl.sum(even * even, axis=0) + tl.sum(odd * odd, axis=0)) / width + eps)
    even_weight = tl.load(weight_ptr + 2 * pair, mask=inside, other=0.0).to(tl.float32)
    odd_weight = tl.load(weight_ptr + 2 * pair + 1, mask=inside, other=0.0).to(tl.float32)
    even = ((even / root).to(kind).to(tl.float32) * even_weight).to(kind).to(tl.float32)
    odd = ((odd / root).to(kind).to(tl.float32) * odd_weight).to(kind).to(tl.float32)
    return (even * cos - odd * sin).to(kind), (even * sin + odd * cos).to(kind)


@triton.jit
def _norm_rotate(
    q_ptr, k_ptr, v_ptr, q_weight_ptr, k_weight_ptr, turns_ptr, q_out_ptr, k_out_ptr, sums_ptr,
    tokens, width, head_pairs, eps, GROUP: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    group, sample = tl.program_id(0), tl.program_id(1).to(tl.int64)
    pair = tl.arange(0, BLOCK)
    inside = pair < width // 2
    in_head = pair % head_pairs
    k_even_sum = tl.zeros([BLOCK], tl.float32)
    k_odd_sum = tl.zeros([BLOCK], tl.float32)
    v_even_sum = tl.zeros([BLOCK], tl.float32)
    v_odd_sum = tl.zeros([BLOCK], tl.float32)
    for number in range(GROUP):
        live = inside & (group * GROUP + number + 0 * pair < tokens)
        token = sample * tokens + group * GROUP + number
        turn = turns_ptr + token * head_pairs * 2 + in_head * 2
        cos = tl.load(turn, mask=live, other=0.0)
        sin = tl.load(turn + 1, mask=live, other=0.0)
        even, odd = _normed_pairs(q_ptr, q_weight_ptr, token, pair, live, cos, sin, width, eps)
        tl.store(q_out_ptr + token * width + 2 * pair, even, mask=live)
        tl.store(q_out_ptr + token * width + 2 * pair + 1, odd, mask=live)
        even, odd = _normed_pairs(k_ptr, k_weight_ptr, token, pair, live, cos, sin, width, eps)
        tl.store(k_out_ptr + token * width + 2 * pair, even, mask=live)
        tl.store(k_out_ptr + token * width + 2 * pair + 1, odd, mask=live)
        k_even_sum += even.to(tl.float32)
        k_odd_sum += odd.to(tl.float32)
        v_at = v_ptr + token * width + 2 * pair
        v_even_sum += tl.load(v_at, mask=live, other=0.0).to(tl.float32)
        v_odd_sum += tl.load(v_at + 1, mask=live, other=0.0).to(tl.float32)
    at = sums_ptr + (sample * tl.num_programs(0) + group) * 2 * width + 2 * pair
    tl.store(at, k_even_sum, mask=inside)
    tl.store(at + 1, k_odd_sum, mask=inside)
    tl.store(at + width, v_even_sum, mask=inside)
    tl.store(at + width + 1, v_odd_sum, mask=inside)


@triton.jit
def _choose_slots(
    sums_ptr, rows_ptr, fill_ptr, head_ptr, pending_ptr, count_ptr, mean_ptr, slots_ptr,
    head_stride, pending_stride, count_stride, mean_stride,
    groups, width, tokens, places, threshold,
    SINKS: tl.constexpr, PINNED: tl.constexpr, RING: tl.constexpr, COUNT_UNWRITTEN: tl.constexpr,
    BLOCK: tl.constexpr,
):  # fmt: skip
    sample = tl.program_id(0).to(tl.int64)
    row = tl.load(rows_ptr + sample)
    fill = tl.load(fill_ptr + sample)
    # read before the reductions, which no warp leaves before all have come: one warp writes below
    head = tl.load(head_ptr + row * head_stride)
    count = tl.load(count_ptr + row * count_stride)
    pending_row = pending_ptr + row * pending_stride
    below = tl.load(pending_row + tl.maximum(count - 1, 0))
    column = tl.arange(0, BLOCK)
    inside = column < width
    key = tl.zeros([BLOCK], tl.float32)
    value = tl.zeros([BLOCK], tl.float32)
    for group in range(groups):
        at = sums_ptr + (sample * groups + group) * 2 * width + column
        key += tl.load(at, mask=inside, other=0.0)
        value += tl.load(at + width, mask=inside, other=0.0)
    key /= tokens
    value /= tokens
    key_length = tl.maximum(tl.sqrt(tl.sum(key * key, axis=0)), 1e-8)
    value_length = tl.maximum(tl.sqrt(tl.sum(value * value, axis=0)), 1e-8)

    mean_row = mean_ptr + row * mean_stride
    least = float("inf")
    stalest = tl.zeros([], tl.int64)
    for sink in tl.static_range(SINKS):
        at = mean_row + sink * 2 * width + column
        old_key = tl.load(at, mask=inside, other=0.0)
        old_value = tl.load(at + width, mask=inside, other=0.0)
        old_key_length = tl.maximum(tl.sqrt(tl.sum(old_key * old_key, axis=0)), 1e-8)
        old_value_length = tl.maximum(tl.sqrt(tl.sum(old_value * old_value, axis=0)), 1e-8)
        likeness = tl.sum(key * old_key, axis=0) / (key_length * old_key_length)
        likeness += tl.sum(value * old_value, axis=0) / (value_length * old_value_length)
        likeness /= 2
        if not COUNT_UNWRITTEN:
            likeness = tl.where((fill >= 0) & (sink >= fill), float("inf"), likeness)
        stalest = tl.where(likeness < least, sink, stalest)
        least = tl.minimum(likeness, least)

    is_full = fill < 0
    tl.store(pending_row + tl.minimum(count, places - 1), stalest)
    is_stale = (least < threshold) & (fill != 0)
    # what lies on top now: the sink just pushed, or, on a stack that was full, in its top's place
    is_top_new = is_stale | (count == places) | (count == 0)
    top = tl.where(is_top_new, stalest, below)
    count = tl.minimum(count + is_stale.to(tl.int64), places)
    is_popped = is_full & (count > 0)
    tl.store(count_ptr + row * count_stride, count - is_popped.to(tl.int64))

    moves = is_full & (count == 0)
    tl.store(head_ptr + row * head_stride, (head + moves.to(tl.int64)) % RING)
    slot = tl.where(is_full, tl.where(is_popped, top, PINNED + head), fill)
    tl.store(slots_ptr + sample, slot)
    at = mean_row + slot * 2 * width + column
    tl.store(at, key, mask=inside)
    tl.store(at + width, value, mask=inside)


@triton.jit
def _store_frame(
    keys_ptr, values_ptr, k_ptr, v_ptr, rows_ptr, slots_ptr,
    tokens, width, row_stride, slot_stride, BLOCK: tl.constexpr,
):  # fmt: skip
    token, sample = tl.program_id(0).to(tl.int64), tl.program_id(1).to(tl.int64)
    column = tl.arange(0, BLOCK)
    inside = column < width
    row, slot = tl.load(rows_ptr + sample), tl.load(slots_ptr + sample)
    source = (sample * tokens + token) * width + column
    target = row * row_stride + slot * slot_stride + token * width + column
    tl.store(keys_ptr + target, tl.load(k_ptr + source, mask=inside), mask=inside)
    tl.store(values_ptr + target, tl.load(v_ptr + source, mask=inside), mask=inside)


def _block(width: int) -> int:
    return int(triton.next_power_of_2(width))


def triton_residual_norm(
    x_BFSC: Tensor,
    y_BFSC: Tensor | None,
    gate_BFC: Tensor | None,
    scale: Tensor,
    shift: Tensor,
    eps: float,
) -> tuple[Tensor, Tensor]:
    batch, frames, tokens, width = x_BFSC.shape
    x_BFSC = x_BFSC.contiguous()
    total, out = torch.empty_like(x_BFSC), torch.empty_like(x_BFSC)
    unused = x_BFSC  # a kernel must be given some pointer
    is_modulated = scale.ndim > 1
    gate = unused if gate_BFC is None else gate_BFC.reshape(-1, width)
    if is_modulated:
        scale, shift = scale.reshape(-1, width), shift.reshape(-1, width)
    modulation_strides = (scale.stride(0), shift.stride(0)) if is_modulated else (0, 0)
    _residual_norm[(batch * frames * tokens,)](
        x_BFSC,
        unused if y_BFSC is None else y_BFSC.contiguous(),
        *(gate, scale, shift, total, out, tokens, width),
        *(0 if gate_BFC is None else gate.stride(0), *modulation_strides, eps),
        HAS_Y=y_BFSC is not None,
        HAS_GATE=gate_BFC is not None,
        IS_MODULATED=is_modulated,
        BLOCK=_block(width),
        num_warps=WARPS,
    )
    return total, out


def triton_rms_norm(x_BLC: Tensor, weight_C: Tensor, eps: float) -> Tensor:
    x_BLC = x_BLC.contiguous()
    out, width = torch.empty_like(x_BLC), x_BLC.shape[-1]
    _rms_norm[(x_BLC.numel() // width,)](
        *(x_BLC, weight_C, out, width, eps), BLOCK=_block(width), num_warps=WARPS
    )
    return out


def triton_norm_silu_window(
    x_BTHWC: Tensor, tail_BPHWC: Tensor, gain_C: Tensor, eps: float
) -> Tensor:
    x_BTHWC = x_BTHWC.contiguous()
    batch, frames, height, columns, width = x_BTHWC.shape
    past, pixels = tail_BPHWC.shape[1], height * columns
    window = x_BTHWC.new_empty(batch, past + frames, height, columns, width)
    _norm_silu_window[(triton.cdiv(pixels, GROUP_PIXELS), batch)](
        *(x_BTHWC, tail_BPHWC, gain_C, window, pixels, width, frames, past, eps),
        GROUP=GROUP_PIXELS,
        BLOCK=_block(width),
        num_warps=WARPS,
    )
    return window


def triton_norm_rotate(
    q_BLC: Tensor,
    k_BLC: Tensor,
    v_BLC: Tensor,
    q_weight_C: Tensor,
    k_weight_C: Tensor,
    turns_BLP2: Tensor,
    eps: float,
) -> tuple[Tensor, Tensor, Tensor]:
    batch, tokens, width = q_BLC.shape
    q_BLC, k_BLC, v_BLC = q_BLC.contiguous(), k_BLC.contiguous(), v_BLC.contiguous()
    groups = triton.cdiv(tokens, GROUP_TOKENS)
    q_out, k_out = torch.empty_like(q_BLC), torch.empty_like(k_BLC)
    sums = torch.empty(batch, groups, 2 * width, dtype=torch.float32, device=q_BLC.device)
    _norm_rotate[(groups, batch)](
        *(q_BLC, k_BLC, v_BLC, q_weight_C, k_weight_C, turns_BLP2.contiguous()),
        *(q_out, k_out, sums, tokens, width, turns_BLP2.shape[-2], eps),
        GROUP=GROUP_TOKENS,
        BLOCK=_block(width // 2),
        num_warps=WARPS,
    )
    return q_out, k_out, sums


def triton_choose_slots(
    sums_BGC: Tensor,
    rows_B: Tensor,
    fill_B: Tensor,
    head_R: Tensor,
    pending_RP: Tensor,
    pending_count_R: Tensor,
    mean_RKC: Tensor,
    tokens: int,
    rule: SinkRule,
) -> Tensor:
    batch, groups, both = sums_BGC.shape
    slots_B = torch.empty_like(rows_B)
    _choose_slots[(batch,)](
        *(sums_BGC, rows_B, fill_B.contiguous(), head_R, pending_RP, pending_count_R, mean_RKC),
        *(slots_B, head_R.stride(0), pending_RP.stride(0), pending_count_R.stride(0)),
        *(mean_RKC.stride(0), groups, both // 2, tokens, pending_RP.shape[-1], rule.threshold),
        SINKS=rule.sinks,
        PINNED=rule.pinned_slots,
        RING=rule.ring_slots,
        COUNT_UNWRITTEN=rule.count_unwritten,
        BLOCK=_block(both // 2),
        num_warps=WARPS,
    )
    return slots_B


def triton_store_frame(
    keys_RKSC: Tensor,
    values_RKSC: Tensor,
    k_BSC: Tensor,
    v_BSC: Tensor,
    rows_B: Tensor,
    slots_B: Tensor,
) -> None:
    batch, tokens, width = k_BSC.shape
    row_stride, slot_stride = keys_RKSC.stride()[:2]
    _store_frame[(tokens, batch)](
        *(keys_RKSC, values_RKSC, k_BSC.contiguous(), v_BSC.contiguous(), rows_B),
        *(slots_B.contiguous(), tokens, width, row_stride, slot_stride),
        BLOCK=_block(width),
        num_warps=WARPS,
    )

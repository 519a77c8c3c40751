"""The fused operators in plain torch: what each computes, number by number.

They round where the layers of `models/dit/blocks.py` do. `triton_kernels.py` is held to them.

B batch, F frames, S tokens of a frame, L = F * S tokens, C model width, P pairs of a head, G groups
of tokens, R cache rows, K slots, J sinks.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from slipstream_engine.kernels.sink_rule import SinkRule


def plain_residual_norm(
    x_BFSC: Tensor,
    y_BFSC: Tensor | None,
    gate_BFC: Tensor | None,
    scale: Tensor,
    shift: Tensor,
    eps: float,
) -> tuple[Tensor, Tensor]:
    """Add a layer's result to the stream of tokens, and norm the sum for the next layer.

    Args:
        y_BFSC: what is added; None for nothing.
        gate_BFC: times which it is added; None for one.
        scale, shift: of the norm: learnt, `[C]`; or by the timestep, `[B, F, C]`, and then one is
            added to the scale.

    Returns:
        The sum, and it normed.
    """
    if y_BFSC is None:
        total = x_BFSC.clone()
    elif gate_BFC is None:
        total = x_BFSC + y_BFSC
    else:
        total = torch.addcmul(x_BFSC, y_BFSC, gate_BFC[:, :, None])
    width = (x_BFSC.shape[-1],)
    if scale.ndim == 1:
        return total, F.layer_norm(total, width, scale, shift, eps)
    normed = F.layer_norm(total, width, eps=eps)
    return total, torch.addcmul(shift[:, :, None], normed, 1 + scale[:, :, None])


def plain_rms_norm(x_BLC: Tensor, weight_C: Tensor, eps: float) -> Tensor:
    """See `models/norms.py`."""
    normed = F.rms_norm(x_BLC.float(), (x_BLC.shape[-1],), eps=eps)
    return normed.to(x_BLC.dtype) * weight_C


def plain_norm_silu_window(
    x_BTHWC: Tensor, tail_BPHWC: Tensor, gain_C: Tensor, eps: float
) -> Tensor:
    """What a causal convolution of a normed, activated input sees: its past, then its frames.

    Args:
        x_BTHWC: T frames of H rows and W columns.
        tail_BPHWC: the P frames before them, normed and activated; replaced by those before the
            next chunk's.
        gain_C: of the norm, see `ChannelNorm`.

    Returns:
        `[B, P + T, H, W, C]`.
    """
    normed_BTHWC = F.rms_norm(x_BTHWC, (x_BTHWC.shape[-1],), gain_C, eps=eps)
    window = torch.cat([tail_BPHWC, F.silu(normed_BTHWC)], dim=1)
    tail_BPHWC.copy_(window[:, -tail_BPHWC.shape[1] :])
    return window


def plain_norm_rotate(
    q_BLC: Tensor,
    k_BLC: Tensor,
    v_BLC: Tensor,
    q_weight_C: Tensor,
    k_weight_C: Tensor,
    turns_BLP2: Tensor,
    eps: float,
) -> tuple[Tensor, Tensor, Tensor]:
    """Norm and turn queries and keys.

    Args:
        turns_BLP2: cosine and sine of each pair of a head, float32.

    Returns:
        Queries, keys, and sums over groups of tokens of keys and values, float32 `[B, G, 2C]`.
    """
    turned = [
        _turn(plain_rms_norm(x_BLC, weight_C, eps), turns_BLP2)
        for x_BLC, weight_C in ((q_BLC, q_weight_C), (k_BLC, k_weight_C))
    ]
    sums = torch.cat([x.sum(dim=1, dtype=torch.float32) for x in (turned[1], v_BLC)], dim=1)
    return turned[0], turned[1], sums[:, None]


def _turn(x_BLC: Tensor, turns_BLP2: Tensor) -> Tensor:
    pairs = x_BLC.float().unflatten(-1, (-1, turns_BLP2.shape[-2], 2))
    turned = torch.view_as_complex(pairs) * torch.view_as_complex(turns_BLP2)[:, :, None]
    return torch.view_as_real(turned).flatten(-3).to(x_BLC.dtype)


def plain_choose_slots(
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
    """The slot of each sample's new frame; moves on the eviction state of one layer.

    `kv_cache/eviction.py` has the rule in words.

    Args:
        sums_BGC: from `norm_rotate`, keys then values.
        fill_B: the slot of each sample while its row fills, negative once it is full.
        head_R, pending_RP, pending_count_R, mean_RKC: that state, one row for each cache row; means
            are of keys, then of values.
        tokens: of a frame.

    Returns:
        `[B]`, int64.
    """
    mean_B2C = (sums_BGC.sum(dim=1) / tokens).unflatten(-1, (2, -1))
    sinks_BJ2C = mean_RKC[rows_B, : rule.sinks].unflatten(-1, (2, -1))
    likeness_BJ = F.cosine_similarity(sinks_BJ2C, mean_B2C[:, None], dim=-1, eps=1e-8).mean(dim=-1)
    sink_J = torch.arange(rule.sinks, device=fill_B.device)
    is_filling_B = fill_B >= 0
    if not rule.count_unwritten:
        is_unwritten_BJ = is_filling_B[:, None] & (sink_J >= fill_B[:, None])
        likeness_BJ = likeness_BJ.masked_fill(is_unwritten_BJ, torch.inf)
    least_B1 = likeness_BJ.amin(dim=1, keepdim=True)
    stalest_B = torch.where(likeness_BJ == least_B1, sink_J, rule.sinks).amin(dim=1)
    is_stale_B = (least_B1[:, 0] < rule.threshold) & (fill_B != 0)

    places = pending_RP.shape[-1]
    count_B = pending_count_R[rows_B]
    pending_RP[rows_B, count_B.clamp(max=places - 1)] = stalest_B
    count_B = (count_B + is_stale_B.long()).clamp(max=places)
    top_B = pending_RP[rows_B, (count_B - 1).clamp(min=0)]
    is_popped_B = ~is_filling_B & (count_B > 0)
    pending_count_R[rows_B] = count_B - is_popped_B.long()

    head_B = head_R[rows_B]
    head_R[rows_B] = (head_B + (~is_filling_B & ~is_popped_B).long()) % rule.ring_slots
    evicted_B = torch.where(is_popped_B, top_B, rule.pinned_slots + head_B)
    slots_B = torch.where(is_filling_B, fill_B, evicted_B)
    mean_RKC[rows_B, slots_B] = mean_B2C.flatten(-2)
    return slots_B


def plain_store_frame(
    keys_RKSC: Tensor,
    values_RKSC: Tensor,
    k_BSC: Tensor,
    v_BSC: Tensor,
    rows_B: Tensor,
    slots_B: Tensor,
) -> None:
    """Write each sample's new frame to its slot."""
    keys_RKSC[rows_B, slots_B] = k_BSC
    values_RKSC[rows_B, slots_B] = v_BSC

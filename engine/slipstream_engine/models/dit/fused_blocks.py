"""The blocks of the transformer in 18 launches each: the same layers, by the fused operators.

Ten are matrix products and attention, and one the GELU; what lies between them is fused
(`kernels/`). A block's last sum waits for the norm that the next block begins with, so the blocks
are run together here and not one by one.

B batch, F frames, S tokens of a frame, L = F * S tokens, M = 6 modulation vectors, C model width.
"""

from collections.abc import Sequence

import torch
from einops import rearrange
from torch import Tensor

from slipstream_engine.kernels import operators
from slipstream_engine.models.dit.attention import attend
from slipstream_engine.models.dit.attention_context import KVCacheContext
from slipstream_engine.models.dit.blocks import Conditioning, DitBlock


def run_fused(
    blocks: Sequence[DitBlock],
    x_BFSC: Tensor,
    time_BFMC: Tensor,
    conditioning: Conditioning,
    layers: range,
    context: KVCacheContext,
) -> Tensor:
    """Apply `blocks`, which are those of `layers`, to chunks of one frame.

    The same as the blocks one after the other, but for rounding.
    """
    modulation_N11MC = torch.stack([block.modulation[None] for block in blocks])
    modulation_NMBFC = rearrange(modulation_N11MC + time_BFMC, "n b f m c -> n m b f c")
    sum_BFSC, y_BFSC, gate_BFC = x_BFSC, None, None
    for block, layer, modulation_MBFC in zip(blocks, layers, modulation_NMBFC, strict=True):
        shift, scale, gate_attn, shift_ffn, scale_ffn, gate_ffn = modulation_MBFC
        sum_BFSC, x_BFSC = operators.residual_norm(
            sum_BFSC, y_BFSC, gate_BFC, scale, shift, block.eps
        )
        y_BFSC = _self_attention(block, x_BFSC, layer, context)
        norm = block.norm3
        sum_BFSC, x_BFSC = operators.residual_norm(
            sum_BFSC, y_BFSC, gate_attn, norm.weight, norm.bias, block.eps
        )
        y_BFSC = _cross_attention(block, x_BFSC, layer, conditioning)
        sum_BFSC, x_BFSC = operators.residual_norm(
            sum_BFSC, y_BFSC, None, scale_ffn, shift_ffn, block.eps
        )
        y_BFSC, gate_BFC = block.ffn(x_BFSC), gate_ffn
    assert y_BFSC is not None and gate_BFC is not None, "there are no blocks"
    return torch.addcmul(sum_BFSC, y_BFSC, gate_BFC[:, :, None])


def _self_attention(block: DitBlock, x_BFSC: Tensor, layer: int, context: KVCacheContext) -> Tensor:
    attention, x_BLC = block.self_attn, x_BFSC.flatten(1, 2)
    read_BLC = context.attend_frame(
        layer,
        *(attention.q(x_BLC), attention.k(x_BLC), attention.v(x_BLC)),
        *(attention.norm_q, attention.norm_k),
    )
    return _by_frames(attention.o(read_BLC), x_BFSC)


def _cross_attention(
    block: DitBlock, x_BFSC: Tensor, layer: int, conditioning: Conditioning
) -> Tensor:
    attention, norm = block.cross_attn, block.cross_attn.norm_q
    q_BLC = operators.rms_norm(attention.q(x_BFSC.flatten(1, 2)), norm.weight, norm.eps)
    k_BTHD = conditioning.k_NBTHD[layer]
    q_BLHD = q_BLC.unflatten(-1, k_BTHD.shape[-2:])
    return _by_frames(attention.o(attend(q_BLHD, k_BTHD, conditioning.v_NBTHD[layer])), x_BFSC)


def _by_frames(y_BLC: Tensor, like_BFSC: Tensor) -> Tensor:
    return rearrange(y_BLC, "b (f s) c -> b f s c", f=like_BFSC.shape[1])

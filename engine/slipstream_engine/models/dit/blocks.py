"""The layers of the causal Wan transformer, named as in its checkpoints (`spec/01` section 2).

B batch, F frames, S tokens of a frame, L = F * S tokens, M = 6 modulation vectors, C model width, T
text rows, H heads, D head dim.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from slipstream_engine.config import DitParams
from slipstream_engine.models.dit.attention import attend
from slipstream_engine.models.dit.attention_context import AttentionContext
from slipstream_engine.models.dit.linear import Linear
from slipstream_engine.models.norms import RMSNorm


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, weakref_slot=True)
class Conditioning:
    """All that a prompt contributes, computed once for it.

    Args:
        k_NBTHD, v_NBTHD: cross-attention keys and values of every layer; batch 1 serves any batch.
        pooled_BC: what is added to the timestep embedding; None unless the model was built with
            `pooled_text`.
        prompt_BTE: the prompt itself, for a decoder that heeds it; None unless the model was built
            with `pooled_text`, and in the memory of passes.
    """

    k_NBTHD: Tensor
    v_NBTHD: Tensor
    pooled_BC: Tensor | None = None
    prompt_BTE: Tensor | None = None

    def room_for(self, samples: int) -> Self:
        """Memory for those of so many samples, each of this one's size; nothing is in it yet."""
        layers, _, *shape = self.k_NBTHD.shape
        pooled = self.pooled_BC
        return type(self)(
            k_NBTHD=self.k_NBTHD.new_zeros(layers, samples, *shape),
            v_NBTHD=self.v_NBTHD.new_zeros(layers, samples, *shape),
            pooled_BC=None if pooled is None else pooled.new_zeros(samples, pooled.shape[1]),
        )

    def samples(self, start: int, stop: int) -> Self:
        """Those of some samples, on the same memory."""
        return type(self)(
            k_NBTHD=self.k_NBTHD[:, start:stop],
            v_NBTHD=self.v_NBTHD[:, start:stop],
            pooled_BC=None if self.pooled_BC is None else self.pooled_BC[start:stop],
        )

    def of_layers(self, layers: Sequence[int | None]) -> Self:
        """Those of these layers, in this order; zeros for None."""
        k_NBTHD, v_NBTHD = (
            torch.stack([torch.zeros_like(x[0]) if layer is None else x[layer] for layer in layers])
            for x in (self.k_NBTHD, self.v_NBTHD)
        )
        return replace(self, k_NBTHD=k_NBTHD, v_NBTHD=v_NBTHD)

    def clone(self) -> Self:
        """A copy in memory of its own."""
        return type(self)(
            k_NBTHD=self.k_NBTHD.clone(),
            v_NBTHD=self.v_NBTHD.clone(),
            pooled_BC=None if self.pooled_BC is None else self.pooled_BC.clone(),
        )

    def copy_from(self, other: "Conditioning") -> None:
        """Take over another prompt's numbers in place: a recorded graph reads these addresses."""
        self.k_NBTHD.copy_(other.k_NBTHD)
        self.v_NBTHD.copy_(other.v_NBTHD)
        if self.pooled_BC is not None and other.pooled_BC is not None:
            self.pooled_BC.copy_(other.pooled_BC)

    def zero_(self) -> None:
        """Overwrite all numbers with zeros, in place."""
        self.k_NBTHD.zero_()
        self.v_NBTHD.zero_()
        if self.pooled_BC is not None:
            self.pooled_BC.zero_()


class Attention(nn.Module):
    """The projections and norms that self- and cross-attention share."""

    def __init__(self, params: DitParams) -> None:
        super().__init__()
        self.q = Linear(params.dim, params.dim)
        self.k = Linear(params.dim, params.dim)
        self.v = Linear(params.dim, params.dim)
        self.o = Linear(params.dim, params.dim)
        self.norm_q = RMSNorm(params.dim, params.eps)
        self.norm_k = RMSNorm(params.dim, params.eps)
        self._heads = params.heads

    def queries(self, x_BLC: Tensor) -> Tensor:
        return self._split(self.norm_q(self.q(x_BLC)))

    def keys(self, x_BLC: Tensor) -> Tensor:
        return self._split(self.norm_k(self.k(x_BLC)))

    def values(self, x_BLC: Tensor) -> Tensor:
        return self._split(self.v(x_BLC))

    def _split(self, x_BLC: Tensor) -> Tensor:
        return rearrange(x_BLC, "b l (h d) -> b l h d", h=self._heads)


class SelfAttention(Attention):
    def forward(self, x_BLC: Tensor, layer: int, context: AttentionContext) -> Tensor:
        out_BLC: Tensor = self.o(
            context.attend(layer, self.queries(x_BLC), self.keys(x_BLC), self.values(x_BLC))
        )
        return out_BLC


class CrossAttention(Attention):
    """Attention to the prompt; every row takes part, padding too."""

    def forward(self, x_BLC: Tensor, k_BTHD: Tensor, v_BTHD: Tensor) -> Tensor:
        out_BLC: Tensor = self.o(attend(self.queries(x_BLC), k_BTHD, v_BTHD))
        return out_BLC


class FeedForward(nn.Sequential):
    """Wider, GELU, narrower; a sequence because the checkpoints number its parts."""

    def forward(self, x: Tensor) -> Tensor:
        widen, _, narrow = self
        assert isinstance(widen, Linear)
        out: Tensor = narrow(widen.gelu(x))
        return out


def small_parameter(*shape: int) -> nn.Parameter:
    """Random numbers whose deviation is one over the root of the last dimension.

    None are drawn on the meta device, where a checkpoint's model is built: torch would import sympy
    and all of its compiler for them, which takes two seconds of an engine's start.
    """
    parameter = nn.Parameter(torch.empty(shape))
    if not parameter.is_meta:
        nn.init.normal_(parameter, std=shape[-1] ** -0.5)
    return parameter


class DitBlock(nn.Module):
    """One transformer block; the timestep shifts, scales and gates all but the cross-attention."""

    def __init__(self, params: DitParams) -> None:
        super().__init__()
        self.self_attn = SelfAttention(params)
        self.cross_attn = CrossAttention(params)
        self.norm3 = nn.LayerNorm(params.dim, eps=params.eps)
        self.ffn = FeedForward(
            Linear(params.dim, params.ffn_dim),
            nn.GELU(approximate="tanh"),
            Linear(params.ffn_dim, params.dim),
        )
        self.modulation = small_parameter(1, 6, params.dim)
        self.eps = params.eps

    def forward(
        self,
        x_BFSC: Tensor,
        time_BFMC: Tensor,
        conditioning: Conditioning,
        layer: int,
        context: AttentionContext,
    ) -> Tensor:
        frames = x_BFSC.shape[1]
        modulation = (self.modulation[None] + time_BFMC)[:, :, :, None].unbind(dim=2)
        shift_attn, scale_attn, gate_attn, shift_ffn, scale_ffn, gate_ffn = modulation

        x = modulate(x_BFSC, shift_attn, scale_attn, self.eps)
        attended_BLC = self.self_attn(rearrange(x, "b f s c -> b (f s) c"), layer, context)
        attended = rearrange(attended_BLC, "b (f s) c -> b f s c", f=frames)
        x = torch.addcmul(x_BFSC, attended, gate_attn)

        read_BLC = self.cross_attn(
            rearrange(self.norm3(x), "b f s c -> b (f s) c"),
            conditioning.k_NBTHD[layer],
            conditioning.v_NBTHD[layer],
        )
        x = x + rearrange(read_BLC, "b (f s) c -> b f s c", f=frames)

        return torch.addcmul(x, self.ffn(modulate(x, shift_ffn, scale_ffn, self.eps)), gate_ffn)


class OutputHead(nn.Module):
    """Tokens to patches of flow."""

    def __init__(self, params: DitParams) -> None:
        super().__init__()
        self.head = Linear(params.dim, params.patch_values)
        self.modulation = small_parameter(1, 2, params.dim)
        self._eps = params.eps

    def forward(self, x_BFSC: Tensor, time_BFC: Tensor) -> Tensor:
        shift, scale = (self.modulation[None] + time_BFC[:, :, None])[:, :, :, None].unbind(dim=2)
        patches: Tensor = self.head(modulate(x_BFSC, shift, scale, self._eps))
        return patches


def modulate(x: Tensor, shift: Tensor, scale: Tensor, eps: float) -> Tensor:
    """A LayerNorm whose scale and shift come from outside."""
    return torch.addcmul(shift, F.layer_norm(x, (x.shape[-1],), eps=eps), 1 + scale)

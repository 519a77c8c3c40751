"""The transformer's step as the specification describes it, eager and sample by sample.

It is what `bench-engine` measures the engine against: complex float64 rotation in a loop over the
samples (`spec/01` 5), eviction lists and similarity tests in a loop over the samples (`spec/02` 2),
attention sample by sample over its cache. It borrows only the weights, so both compute the same.

B batch, F frames, c latent channels, h w latent size, S tokens of a frame, L tokens, C model width,
H heads, D head dim, N tokens of a cache.
"""

from dataclasses import dataclass, field
from itertools import pairwise

import torch
import torch.nn.functional as F
from slipstream_engine.config import CacheParams
from slipstream_engine.models.dit.blocks import DitBlock
from slipstream_engine.models.dit.blocks import OutputHead as HeadLayer
from slipstream_engine.models.dit.transformer import CausalDit
from slipstream_engine.models.norms import RMSNorm
from torch import Tensor, nn


@dataclass
class LayerCache:
    """One layer's cache: keys and values, each sample's tokens in use and what to evict next."""

    k_BNHD: Tensor
    v_BNHD: Tensor
    ends: list[int]
    lengths: list[int]
    evict: list[list[int]] = field(default_factory=list)


class Straightforward:
    """The same model as `model`, one step for a batch of samples at their own positions."""

    def __init__(
        self, model: CausalDit, params: CacheParams, text_BTC: Tensor, *, batch: int, tokens: int
    ) -> None:
        self._model = model
        self._params = params
        self._tokens = tokens
        dit = model.params
        shape = (batch, params.slots * tokens, dit.heads, dit.head_dim)
        self._caches = [
            LayerCache(
                k_BNHD=torch.zeros(shape),
                v_BNHD=torch.zeros(shape),
                ends=[0] * batch,
                lengths=[0] * batch,
                evict=[[] for _ in range(batch)],
            )
            for _ in range(dit.layers)
        ]
        self._cross = [
            (
                _heads(_rms(block.cross_attn.k(text_BTC), block.cross_attn.norm_k), dit.heads),
                _heads(block.cross_attn.v(text_BTC), dit.heads),
            )
            for block in model.blocks
            if isinstance(block, DitBlock)
        ]
        pairs = dit.head_dim // 2
        split = (pairs - 2 * (pairs // 3), pairs // 3, pairs // 3)
        self._rotations = [_rotations(dit.positions, count) for count in split]

    def __call__(self, x_BFchw: Tensor, timesteps_BF: Tensor, starts: list[int]) -> Tensor:
        """The flow; `starts` are the positions of the samples' first frames."""
        model, batch, frames = self._model, *x_BFchw.shape[:2]
        x = F.conv3d(
            x_BFchw.transpose(1, 2),
            model.patch_embedding.weight,
            model.patch_embedding.bias,
            stride=model.params.patch,
        )
        grid = tuple(x.shape[2:])
        x = x.flatten(2).transpose(1, 2)
        e = model.time_embedding(_sinusoid(timesteps_BF.flatten(), model.params.freq_dim).float())
        e0 = model.time_projection(e).unflatten(1, (6, -1)).unflatten(0, (batch, frames))
        for block, cache, cross in zip(model.blocks, self._caches, self._cross, strict=True):
            assert isinstance(block, DitBlock)
            x = self._block(block, x, e0, cache, cross, grid, starts)
        return _unpatchify(
            _head(model.head, x, e.unflatten(0, (batch, frames)), frames),
            grid,
            model.params.latent_channels,
            model.params.patch,
        )

    def _block(
        self,
        block: DitBlock,
        x: Tensor,
        e0: Tensor,
        cache: LayerCache,
        cross: tuple[Tensor, Tensor],
        grid: tuple[int, ...],
        starts: list[int],
    ) -> Tensor:
        frames, heads = grid[0], self._model.params.heads
        m = (block.modulation[None] + e0).chunk(6, dim=2)
        a = (_framed(_norm(x), frames) * (1 + m[1]) + m[0]).flatten(1, 2)
        attention = block.self_attn
        q = _heads(_rms(_linear(attention.q, a), attention.norm_q), heads)
        k = _heads(_rms(_linear(attention.k, a), attention.norm_k), heads)
        v = _heads(_linear(attention.v, a), heads)
        q, k = self._rotate(q, grid, starts), self._rotate(k, grid, starts)
        self._write(cache, k, v, starts)
        y = torch.stack(
            [
                _attend(
                    q[i : i + 1],
                    cache.k_BNHD[i : i + 1, : cache.lengths[i]],
                    cache.v_BNHD[i : i + 1, : cache.lengths[i]],
                )[0]
                for i in range(len(starts))
            ]
        )
        x = x + (_framed(_linear(attention.o, y), frames) * m[2]).flatten(1, 2)
        reading = block.cross_attn
        q = _heads(_rms(_linear(reading.q, block.norm3(x)), reading.norm_q), heads)
        ck, cv = (half.expand(len(starts), -1, -1, -1) for half in cross)
        x = x + _linear(reading.o, _attend(q, ck, cv))
        y = (_framed(_norm(x), frames) * (1 + m[4]) + m[3]).flatten(1, 2)
        y = _linear(block.ffn[2], F.gelu(_linear(block.ffn[0], y), approximate="tanh"))
        return x + (_framed(y, frames) * m[5]).flatten(1, 2)

    def _rotate(self, x_BLHD: Tensor, grid: tuple[int, ...], starts: list[int]) -> Tensor:
        frames, rows, columns = grid
        rotated = []
        for x_LHD, start in zip(x_BLHD, starts, strict=True):
            z = torch.view_as_complex(x_LHD.to(torch.float64).unflatten(-1, (-1, 2)))
            rotation = torch.cat(
                [
                    self._rotations[0][start : start + frames, None, None].expand(
                        -1, rows, columns, -1
                    ),
                    self._rotations[1][None, :rows, None].expand(frames, -1, columns, -1),
                    self._rotations[2][None, None, :columns].expand(frames, rows, -1, -1),
                ],
                dim=-1,
            ).reshape(frames * rows * columns, 1, -1)
            rotated.append(torch.view_as_real(z * rotation).flatten(2))
        return torch.stack(rotated).to(x_BLHD.dtype)

    def _write(self, cache: LayerCache, k: Tensor, v: Tensor, starts: list[int]) -> None:
        """Store a call's keys and values, sample by sample (`spec/02` section 2)."""
        size, new = cache.k_BNHD.shape[1], k.shape[1]
        sink = self._params.sinks * self._tokens
        for i, frame in enumerate(starts):
            evict = cache.evict[i]
            end = frame * self._tokens + new
            if self._params.sink_threshold is not None and new <= self._tokens:
                self._test_sinks(cache, k[i], v[i], i, self._params.sink_threshold)
            if end > size or cache.lengths[i] >= size:
                cache.lengths[i] = size
                stop = evict.pop(0)
                if stop > sink:
                    evict.append(stop)
                length = size
            else:
                stop = length = cache.lengths[i] + end - cache.ends[i]
                ready = end + new
                if sink < ready <= size and (not evict or evict[-1] != ready):
                    evict.append(ready)
            cache.k_BNHD[i, stop - new : stop] = k[i]
            cache.v_BNHD[i, stop - new : stop] = v[i]
            cache.ends[i], cache.lengths[i] = end, length

    def _test_sinks(
        self, cache: LayerCache, k_LHD: Tensor, v_LHD: Tensor, i: int, threshold: float
    ) -> None:
        means = [k_LHD.mean(dim=0).flatten(), v_LHD.mean(dim=0).flatten()]
        bounds = range(0, (self._params.sinks + 1) * self._tokens, self._tokens)
        scores = []
        for start, stop in pairwise(bounds):
            sinks = [x[i, start:stop].mean(dim=0).flatten() for x in (cache.k_BNHD, cache.v_BNHD)]
            likeness = [F.cosine_similarity(a, b, dim=0) for a, b in zip(sinks, means, strict=True)]
            scores.append((likeness[0] + likeness[1]) / 2)
        least = torch.stack(scores).min(dim=0)
        if least.values.item() < threshold:
            cache.evict[i].insert(0, (int(least.indices.item()) + 1) * self._tokens)


def _rotations(positions: int, pairs: int) -> Tensor:
    angle = torch.outer(
        torch.arange(positions, dtype=torch.float64),
        10_000.0 ** (-torch.arange(pairs, dtype=torch.float64) / pairs),
    )
    return torch.polar(torch.ones_like(angle), angle)


def _sinusoid(timesteps: Tensor, width: int) -> Tensor:
    half = width // 2
    rate = 10_000.0 ** (-torch.arange(half, dtype=torch.float64) / half)
    angle = torch.outer(timesteps.to(torch.float64), rate)
    return torch.cat([angle.cos(), angle.sin()], dim=1)


def _linear(layer: nn.Module, x: Tensor) -> Tensor:
    assert isinstance(layer, nn.Linear)
    return F.linear(x, layer.weight, layer.bias)


def _norm(x: Tensor) -> Tensor:
    return F.layer_norm(x, x.shape[-1:], eps=1e-6)


def _rms(x: Tensor, norm: RMSNorm) -> Tensor:
    wide = x.float()
    normed = (wide * torch.rsqrt(wide.pow(2).mean(dim=-1, keepdim=True) + 1e-6)).to(x)
    return torch.mul(normed, norm.weight)


def _heads(x_BLC: Tensor, heads: int) -> Tensor:
    batch, tokens, _ = x_BLC.shape
    return x_BLC.view(batch, tokens, heads, -1)


def _framed(x_BLC: Tensor, frames: int) -> Tensor:
    batch, _, width = x_BLC.shape
    return x_BLC.view(batch, frames, -1, width)


def _attend(q_BLHD: Tensor, k_BKHD: Tensor, v_BKHD: Tensor) -> Tensor:
    q, k, v = (x.transpose(1, 2) for x in (q_BLHD, k_BKHD, v_BKHD))
    return F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)


def _head(head: HeadLayer, x: Tensor, e_BFC: Tensor, frames: int) -> Tensor:
    m = (head.modulation[None] + e_BFC[:, :, None]).chunk(2, dim=2)
    return _linear(head.head, _framed(_norm(x), frames) * (1 + m[1]) + m[0])


def _unpatchify(
    y_BFSP: Tensor, grid: tuple[int, ...], channels: int, patch: tuple[int, int, int]
) -> Tensor:
    batch = y_BFSP.shape[0]
    y = y_BFSP.reshape(batch, *grid, *patch, channels)
    y = torch.einsum("bfhwpqrc->bfpchqwr", y)
    return y.reshape(batch, grid[0] * patch[0], channels, grid[1] * patch[1], grid[2] * patch[2])

"""The umT5 encoder: token numbers to the rows a diffusion model's cross-attention reads.

B prompts, L tokens, C channels, H heads, D channels of a head. Keys, shapes and formulas are those
of `models_t5_umt5-xxl-enc-bf16.pth` (`spec/06`).
"""

from dataclasses import dataclass

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional

from slipstream_engine.models.norms import RMSNorm

NORM_EPS = 1e-6
BUCKETS = 32  # half of them for each direction
# distance -> bucket: 0 to 7 have their own, from here on each threshold begins the next
BUCKET_THRESHOLDS = (8, 12, 16, 23, 32, 46, 64, 91)


@dataclass(frozen=True, slots=True, kw_only=True)
class Umt5Config:
    """Sizes of the encoder; the defaults are those of umT5-xxl."""

    vocabulary: int = 256384
    dim: int = 4096
    attention_dim: int = 4096
    ffn_dim: int = 10240
    heads: int = 64
    layers: int = 24


def position_buckets(length: int, device: torch.device | None = None) -> Tensor:
    """Which of the 32 relative-position buckets key k falls into for query q: `[q, k]`.

    Half of the buckets are for keys behind the query; far distances share (`spec/06` section 3).
    The thresholds stand written out because the logarithms behind them fall on whole numbers.
    """
    positions = torch.arange(length, device=device)
    offset_QK = positions[None, :] - positions[:, None]
    distance_QK = offset_QK.abs()
    thresholds = torch.tensor(BUCKET_THRESHOLDS, device=device)
    far_QK = 7 + torch.bucketize(distance_QK, thresholds, right=True)
    bucket_QK = torch.where(distance_QK < BUCKET_THRESHOLDS[0], distance_QK, far_QK)
    return bucket_QK + BUCKETS // 2 * (offset_QK > 0)


class PositionBias(nn.Module):
    """What each head adds to a logit for the distance between query and key."""

    def __init__(self, heads: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(BUCKETS, heads)

    def forward(self, buckets_QK: Tensor) -> Tensor:
        return rearrange(self.embedding.forward(buckets_QK), "q k h -> 1 h q k")


class Umt5Attention(nn.Module):
    """Self-attention without the usual scale: umT5's weights carry it."""

    def __init__(self, config: Umt5Config) -> None:
        super().__init__()
        self.heads = config.heads
        self.q = nn.Linear(config.dim, config.attention_dim, bias=False)
        self.k = nn.Linear(config.dim, config.attention_dim, bias=False)
        self.v = nn.Linear(config.dim, config.attention_dim, bias=False)
        self.o = nn.Linear(config.attention_dim, config.dim, bias=False)

    def forward(self, x_BLC: Tensor, bias_BHQK: Tensor) -> Tensor:
        q_BHLD, k_BHLD, v_BHLD = (
            rearrange(projection(x_BLC), "b l (h d) -> b h l d", h=self.heads)
            for projection in (self.q, self.k, self.v)
        )
        out_BHLD = functional.scaled_dot_product_attention(
            q_BHLD, k_BHLD, v_BHLD, attn_mask=bias_BHQK, scale=1.0
        )
        return self.o.forward(rearrange(out_BHLD, "b h l d -> b l (h d)"))


class Umt5FeedForward(nn.Module):
    """A gated two-layer network; the gate's key is its place before the activation."""

    def __init__(self, config: Umt5Config) -> None:
        super().__init__()
        self.gate = nn.Sequential(
            nn.Linear(config.dim, config.ffn_dim, bias=False), nn.GELU(approximate="tanh")
        )
        self.fc1 = nn.Linear(config.dim, config.ffn_dim, bias=False)
        self.fc2 = nn.Linear(config.ffn_dim, config.dim, bias=False)

    def forward(self, x_BLC: Tensor) -> Tensor:
        return self.fc2.forward(self.fc1(x_BLC) * self.gate(x_BLC))


class Umt5Block(nn.Module):
    """Attention and feed-forward, each on a normed copy and added back."""

    def __init__(self, config: Umt5Config) -> None:
        super().__init__()
        self.norm1 = RMSNorm(config.dim, NORM_EPS)
        self.attn = Umt5Attention(config)
        self.norm2 = RMSNorm(config.dim, NORM_EPS)
        self.ffn = Umt5FeedForward(config)
        self.pos_embedding = PositionBias(config.heads)

    def forward(self, x_BLC: Tensor, buckets_QK: Tensor, mask_BK: Tensor | None) -> Tensor:
        bias_BHQK = self.pos_embedding.forward(buckets_QK)
        if mask_BK is not None:
            lowest = torch.finfo(bias_BHQK.dtype).min
            bias_BHQK = bias_BHQK.masked_fill(~mask_BK[:, None, None, :], lowest)
        x_BLC = x_BLC + self.attn.forward(self.norm1(x_BLC), bias_BHQK)
        return x_BLC + self.ffn.forward(self.norm2(x_BLC))


class Umt5Encoder(nn.Module):
    """The encoder half of umT5; each layer has its own position bias."""

    def __init__(self, config: Umt5Config) -> None:
        super().__init__()
        self.config = config
        self.token_embedding = nn.Embedding(config.vocabulary, config.dim)
        self.blocks = nn.ModuleList(Umt5Block(config) for _ in range(config.layers))
        self.norm = RMSNorm(config.dim, NORM_EPS)

    def forward(self, ids_BL: Tensor, mask_BL: Tensor | None = None) -> Tensor:
        """Encode prompts of one length.

        Args:
            ids_BL: token numbers.
            mask_BL: bool, which of them are real; None where all are.

        Returns:
            `[B, L, C]`; rows that are not real hold no meaning.
        """
        buckets_QK = position_buckets(ids_BL.shape[1], ids_BL.device)
        x_BLC = self.token_embedding.forward(ids_BL)
        for block in self.blocks:
            x_BLC = block(x_BLC, buckets_QK, mask_BL)
        return self.norm.forward(x_BLC)


def pad_rows(rows_LC: Tensor, length: int) -> Tensor:
    """`rows_LC` with zero rows behind, `[length, C]`: what the diffusion model was trained to read.

    Only real tokens need be encoded: no real token attends to padding, whose rows are zeroed anyway
    (`spec/06` section 5).
    """
    return functional.pad(rows_LC, (0, 0, 0, length - len(rows_LC)))

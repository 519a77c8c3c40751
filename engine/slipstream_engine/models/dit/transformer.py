"""The causal Wan diffusion transformer: noisy latents in, flow out, for a batch of micro-steps.

Every sample of a batch is one (stream, chunk, step): it has its own timestep, position and cache
row, all inside the `AttentionContext`. The blocks are applied in a contiguous range, so a model
can be cut between devices:

    tokens = model.embed(x)
    tokens = model.run(tokens, time, conditioning, context, range(0, 15))     # first device
    tokens = model.run(tokens, time, conditioning, context, range(15, 30))    # second device
    flow = model.unembed(tokens, time, rows=...)

Source: `spec/01` section 4; keys and shapes are the checkpoints'.

B batch, F frames, c latent channels, h w latent size, S tokens of a frame, C model width, T text
rows, H heads, D head dim, N layers.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from slipstream_engine.config import DitParams
from slipstream_engine.kv_cache.positions import BatchPositions
from slipstream_engine.kv_cache.rolling_cache import RollingCache
from slipstream_engine.models.dit.attention_context import (
    AttentionContext,
    ClipContext,
    KVCacheContext,
)
from slipstream_engine.models.dit.blocks import Conditioning, DitBlock, OutputHead
from slipstream_engine.models.dit.fused_blocks import run_fused
from slipstream_engine.models.dit.rope import Rope, timestep_sinusoid


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TimeEmbedding:
    """A batch's timesteps as the blocks and the head want them.

    Args:
        head_BFC: the embedding itself.
        blocks_BFMC: its projection, six vectors a frame.
    """

    head_BFC: Tensor
    blocks_BFMC: Tensor


class CausalDit(nn.Module):
    """See the module.

    Attributes:
        is_fused: whether chunks of one frame go through fused operators, see `fused_blocks.py`.
    """

    def __init__(self, params: DitParams) -> None:
        super().__init__()
        dim = params.dim
        self.params = params
        self.patch_embedding = nn.Conv3d(
            params.latent_channels, dim, kernel_size=params.patch, stride=params.patch
        )
        self.text_embedding = nn.Sequential(
            nn.Linear(params.text_dim, dim), nn.GELU(approximate="tanh"), nn.Linear(dim, dim)
        )
        self.time_embedding = nn.Sequential(
            nn.Linear(params.freq_dim, dim), nn.SiLU(), nn.Linear(dim, dim)
        )
        self.time_projection = nn.Sequential(nn.SiLU(), nn.Linear(dim, 6 * dim))
        self.blocks = nn.ModuleList(DitBlock(params) for _ in range(params.layers))
        self.head = OutputHead(params)
        self.is_fused = False
        self._rope: Rope | None = None

    @property
    def device(self) -> torch.device:
        return self.head.head.weight.device

    @property
    def dtype(self) -> torch.dtype:
        return self.head.head.weight.dtype

    @property
    def rope(self) -> Rope:
        """The rotary tables, computed on the first use: a model on the meta device has none yet."""
        if self._rope is None:
            self._rope = Rope(self.params.head_dim, self.params.positions, self.device)
        return self._rope

    def hold_blocks(self, blocks: Sequence[int | Sequence[Tensor]]) -> None:
        """Hold these blocks alone from now on, numbered anew from 0.

        Args:
            blocks: the number of one that is held already, or all tensors of a new one, in the
                order of `tensors_of_block`.
        """
        self.blocks = nn.ModuleList(
            self.block(one) if isinstance(one, int) else self._new_block(one) for one in blocks
        )
        self.params = replace(self.params, layers=len(blocks))

    def tensors_of_block(self, layer: int) -> list[Tensor]:
        """All numbers of a block."""
        return list(self.block(layer).state_dict().values())

    def _new_block(self, tensors: Sequence[Tensor]) -> DitBlock:
        with torch.device("meta"):
            block = DitBlock(self.params).requires_grad_(False).eval()
        names = block.state_dict()
        block.load_state_dict(dict(zip(names, tensors, strict=True)), assign=True)
        return block

    def block(self, layer: int) -> DitBlock:
        block = self.blocks[layer]
        assert isinstance(block, DitBlock), "blocks hold nothing else"
        return block

    def condition(self, prompt_BTE: Tensor) -> Conditioning:
        """Compute all that a prompt contributes to every later forward.

        Args:
            prompt_BTE: embeddings `[B, text_len or less, text_dim]`; missing rows count as zero
                rows.
        """
        params = self.params
        prompt_BTE = F.pad(prompt_BTE, (0, 0, 0, params.text_len - prompt_BTE.shape[1]))
        text_BTC = self.text_embedding(prompt_BTE)
        attentions = [self.block(layer).cross_attn for layer in range(params.layers)]
        k_NBTHD = _stack([attention.keys(text_BTC) for attention in attentions], text_BTC)
        v_NBTHD = _stack([attention.values(text_BTC) for attention in attentions], text_BTC)
        if not params.pooled_text:
            return Conditioning(k_NBTHD=k_NBTHD, v_NBTHD=v_NBTHD)
        is_live_BT1 = (prompt_BTE != 0).any(dim=-1, keepdim=True).to(text_BTC.dtype)
        pooled_BC = (text_BTC * is_live_BT1).sum(dim=1) / is_live_BT1.sum(dim=1).clamp(min=1)
        return Conditioning(
            k_NBTHD=k_NBTHD, v_NBTHD=v_NBTHD, pooled_BC=pooled_BC, prompt_BTE=prompt_BTE
        )

    def embed(self, x_BFchw: Tensor) -> Tensor:
        """Latents to tokens `[B, F, S, C]`, S in the order (row, column)."""
        _, rows, columns = self.params.patch
        patches = rearrange(x_BFchw, "b f c (y p) (x q) -> b f (y x) (c p q)", p=rows, q=columns)
        return F.linear(patches, self.patch_embedding.weight.flatten(1), self.patch_embedding.bias)

    def embed_time(self, timesteps_BF: Tensor, conditioning: Conditioning) -> TimeEmbedding:
        """Embed a timestep for each frame of each sample."""
        sinusoid = timestep_sinusoid(timesteps_BF, self.params.freq_dim).to(self.dtype)
        head_BFC = self.time_embedding(sinusoid)
        if conditioning.pooled_BC is not None:
            head_BFC = head_BFC + conditioning.pooled_BC[:, None]
        blocks_BFMC = rearrange(self.time_projection(head_BFC), "b f (m c) -> b f m c", m=6)
        return TimeEmbedding(head_BFC=head_BFC, blocks_BFMC=blocks_BFMC)

    def run(
        self,
        x_BFSC: Tensor,
        time: TimeEmbedding,
        conditioning: Conditioning,
        context: AttentionContext,
        layers: range,
    ) -> Tensor:
        """Apply a contiguous range of blocks."""
        if self.is_fused and isinstance(context, KVCacheContext) and context.takes_frames:
            blocks = [self.block(layer) for layer in layers]
            return run_fused(blocks, x_BFSC, time.blocks_BFMC, conditioning, layers, context)
        for layer in layers:
            block = self.block(layer)
            x_BFSC = block(x_BFSC, time.blocks_BFMC, conditioning, layer, context)
        return x_BFSC

    def unembed(self, x_BFSC: Tensor, time: TimeEmbedding, *, rows: int) -> Tensor:
        """Tokens to flow, of the latents' shape; `rows` is of the token grid."""
        _, p, q = self.params.patch
        patches: Tensor = self.head(x_BFSC, time.head_BFC)
        return rearrange(patches, "b f (y x) (p q c) -> b f c (y p) (x q)", y=rows, p=p, q=q)

    def forward(
        self,
        x_BFchw: Tensor,
        timesteps_BF: Tensor,
        conditioning: Conditioning,
        context: AttentionContext,
    ) -> Tensor:
        """The flow (noise - clean) of noisy latents.

        Args:
            x_BFchw: noisy latents.
            timesteps_BF: for each frame, an integer 0 to 1000.
            conditioning: of one prompt, or of one for each sample.
            context: from `kv_cache_context` or `clip_context`, made for this pass.
        """
        time = self.embed_time(timesteps_BF, conditioning)
        tokens = self.run(
            self.embed(x_BFchw), time, conditioning, context, range(self.params.layers)
        )
        return self.unembed(tokens, time, rows=x_BFchw.shape[-2] // self.params.patch[1])

    def grid(self, height: int, width: int) -> tuple[int, int]:
        """Rows and columns of tokens for latents of this size.

        Raises:
            ValueError: if the patch does not divide the size.
        """
        _, p, q = self.params.patch
        if height % p or width % q:
            raise ValueError(
                f"latents are {height}x{width}, they must be multiples of the patch {p}x{q}"
            )
        return height // p, width // q

    def kv_cache_context(
        self,
        cache: RollingCache,
        positions: BatchPositions,
        *,
        height: int,
        width: int,
        rows_B: Tensor | None = None,
    ) -> KVCacheContext:
        """The attention context of a batch of micro-steps over latents of `height` x `width`."""
        rows, columns = self.grid(height, width)
        return KVCacheContext(
            cache, positions, self.rope, rows=rows, columns=columns, rows_B=rows_B
        )

    def clip_context(self, blocks: tuple[int, ...], *, height: int, width: int) -> ClipContext:
        """The attention context of a training clip whose blocks hold so many latent frames each."""
        rows, columns = self.grid(height, width)
        return ClipContext(blocks, self.rope, rows=rows, columns=columns, device=self.device)


def _stack(layers: list[Tensor], like: Tensor) -> Tensor:
    """The tensors of all layers; a rank that only encodes or decodes has none."""
    return torch.stack(layers) if layers else like.new_zeros(0, 1, 1, 1, 1)


def initialise(model: CausalDit) -> None:
    """Wan's initial weights: Xavier, small text and time embeddings, a head of zeros."""
    for module in model.modules():
        if isinstance(module, nn.Linear):
            nn.init.xavier_uniform_(module.weight)
            nn.init.zeros_(module.bias)
    nn.init.xavier_uniform_(model.patch_embedding.weight.flatten(1))
    for embedding in (model.text_embedding, model.time_embedding):
        for module in embedding:
            if isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, std=0.02)
    nn.init.zeros_(model.head.head.weight)

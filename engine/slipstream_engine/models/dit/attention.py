"""The one attention call.

B batch, L tokens, K keys, H heads, D head dim.
"""

import torch.nn.functional as F
from einops import rearrange
from torch import Tensor


def attend(q_BLHD: Tensor, k_BKHD: Tensor, v_BKHD: Tensor, mask: Tensor | None = None) -> Tensor:
    """Softmax attention, scale 1 / sqrt(D).

    Args:
        q_BLHD, k_BKHD, v_BKHD: keys and values of batch 1 serve every sample (no copy is made).
        mask: bool, broadcastable to `[B, H, L, K]`, true where a query may look; None means
            everywhere.

    Returns:
        `[B, L, H * D]`.
    """
    batch = q_BLHD.shape[0]
    if k_BKHD.shape[0] != batch:
        # without a mask a query does not care which sample it belongs to
        assert k_BKHD.shape[0] == 1 and mask is None, "shared keys cannot be masked by sample"
        q_BLHD = rearrange(q_BLHD, "b l h d -> 1 (b l) h d")
    out = F.scaled_dot_product_attention(
        q_BLHD.transpose(1, 2), k_BKHD.transpose(1, 2), v_BKHD.transpose(1, 2), attn_mask=mask
    )
    return rearrange(out, "g h (b l) d -> (g b) l (h d)", b=batch // q_BLHD.shape[0])

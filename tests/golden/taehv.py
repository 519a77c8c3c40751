"""Family g: TAEHV, encoding and decoding, and decoding in pieces against all at once."""

import math
import zlib

import numpy as np
import torch
from einops import rearrange
from slipstream_engine.config import CHUNK_FRAMES
from slipstream_engine.models.vae.taehv import Taehv
from slipstream_engine.models.vae.taehv_config import TaehvParams, TaehvStage
from torch import Tensor

from tests.golden.case import Case, Replay
from tests.golden.wan_vae import one_after_another

TRUNCATED = "the reference's wrapper forgets all but three latents; ours carries its state"
EXACT = 1e-5  # float32 rounding between one batch of frames and several


def replay(case: Case) -> Replay:
    codec = load_taehv(case)
    frames_BTCHW = rearrange(case.tensor("in.frames"), "c t h w -> 1 t c h w").float() / 255
    # the reference fills an incomplete group with copies of the last frame
    fill = frames_BTCHW[:, -1:].expand(-1, -frames_BTCHW.shape[1] % CHUNK_FRAMES, -1, -1, -1)
    frames_BTCHW = torch.cat([frames_BTCHW, fill], dim=1)
    latents_BFCHW = case.tensor("in.z")
    whole = codec.decode_clip(latents_BFCHW, {})
    memory: dict[int, Tensor] = {}
    pieces = one_after_another(case.config["decode_pieces"])
    pieces.append(slice(pieces[-1].stop, None))  # what the case does not stream
    streamed = torch.cat(
        [
            codec.decode_clip(latents_BFCHW[:, piece], memory)
            for piece in pieces
            if latents_BFCHW[:, piece].shape[1]
        ],
        dim=1,
    )
    apart = float((streamed - whole).abs().max())
    return Replay(
        tensors={
            "out.encode": codec.encode_clip(frames_BTCHW, {}),
            "out.decode": streamed,
            "out.wrapper.decode_to_pixel": (whole * 2 - 1).clamp(-1, 1),
        },
        left_out={"out.wrapper.stream_decode": TRUNCATED},
        claims={"decoding in pieces is not decoding at once": apart < EXACT},
    )


def load_taehv(case: Case, prefix: str = "") -> Taehv:
    """The codec of a case, with its stored weights or with those its `weight_recipe` draws."""
    config = case.config["taehv"] if prefix else case.config
    is_real = config["structure"] == "real"
    codec = Taehv(TaehvParams() if is_real else _small(config["enc_width"], *config["dec_widths"]))
    if prefix in (case.description.get("weights") or {}):
        codec.load_state_dict(case.weights(prefix))
    else:
        codec.load_state_dict(_by_recipe(codec, config["weight_recipe_seed"]))
    return codec.requires_grad_(False)


def _small(encoder: int, first: int, second: int, third: int, last: int) -> TaehvParams:
    return TaehvParams(
        encoder_width=encoder,
        encoder=tuple(TaehvStage(width=encoder, time=time) for time in (2, 2, 1)),
        decoder=(
            TaehvStage(width=first, time=1),
            TaehvStage(width=second, time=2),
            TaehvStage(width=third, time=2),
        ),
        decoder_width=last,
    )


def _by_recipe(codec: Taehv, seed: int) -> dict[str, Tensor]:
    """Weights too large to store, drawn as the case's `weight_recipe` says."""
    weights = {}
    for name, like in codec.state_dict().items():
        random = np.random.RandomState((zlib.crc32(name.encode()) + seed) % 2**32)
        uniform = random.random_sample(like.numel()) * 2 - 1
        if name.endswith("bias"):
            reach = 0.05
        else:
            reach = 0.4 if name == "decoder.22.weight" else 1.2
            reach *= math.sqrt(3 / math.prod(like.shape[1:]))
        offset = 0.5 if name == "decoder.22.bias" else 0.0
        drawn = (uniform * reach + offset).astype(np.float32)
        weights[name] = torch.from_numpy(drawn).reshape(like.shape)
    return weights

"""Family f: the Wan VAE, encoding and decoding, in pieces and at once."""

from collections.abc import Callable, Sequence
from itertools import accumulate

import torch
from einops import rearrange
from slipstream_engine.config import CHUNK_FRAMES
from slipstream_engine.models.vae.wan_vae import WanVae, WanVaeConfig, WanVaeState
from torch import Tensor

from tests.golden.case import Case, Replay

Direction = Callable[[Tensor, WanVaeState], Tensor]


def replay(case: Case) -> Replay:
    raw, normalized = (load_vae(case, normalized=normalized) for normalized in (False, True))
    frames_TCHW = rearrange(case.tensor("in.frames"), "c t h w -> t c h w").float() / 127.5 - 1
    latents_FCHW = rearrange(case.tensor("in.z"), "1 c f h w -> f c h w")
    rounded_FCHW = latents_FCHW.bfloat16().float()  # as the reference's wrapper does to any input
    encode_pieces = whole_latents(case.config["encode_pieces"])
    whole_TCHW = frames_TCHW[: 1 + (len(frames_TCHW) - 1) // CHUNK_FRAMES * CHUNK_FRAMES]
    decode_pieces = one_after_another(case.config["decode_pieces"])
    mean = in_pieces(raw.encode, frames_TCHW, encode_pieces, raw.fresh_state())
    scaled = in_pieces(normalized.encode, frames_TCHW, encode_pieces, raw.fresh_state())
    streamed = in_pieces(raw.decode, latents_FCHW, decode_pieces, raw.fresh_state())
    whole = raw.decode(latents_FCHW, raw.fresh_state())
    tensors = {
        "out.stream_encode.mu": _frames_last(mean),
        "out.stream_encode.scaled": _frames_last(scaled),
        "out.full_encode.scaled": _frames_last(
            normalized.encode(whole_TCHW, normalized.fresh_state())
        ),
        "out.stream_decode.z": _frames_last(streamed),
        "out.full_decode.z": _frames_last(whole),
        "out.roundtrip.stream_decode": _frames_last(
            in_pieces(raw.decode, scaled, decode_pieces, raw.fresh_state())
        ),
        "out.wrapper.stream_decode_to_pixel": in_pieces(
            raw.decode, rounded_FCHW, decode_pieces, raw.fresh_state()
        ).clamp(-1, 1)[None],
        "out.wrapper.decode_to_pixel": whole.clamp(-1, 1)[None],
        "out.wrapper.stream_encode.default": _frames_last(
            raw.encode(frames_TCHW[encode_pieces[0]], raw.fresh_state())
        ),
    }
    return Replay(tensors={name: tensors[name] for name in case.outputs if name in tensors})


def load_vae(case: Case, prefix: str = "", *, normalized: bool = False) -> WanVae:
    """The VAE whose sizes and weights a case names."""
    sizes = case.config["vae"]
    config = WanVaeConfig(
        channels=sizes["dim"],
        latent_channels=sizes["z_dim"],
        multipliers=tuple(sizes["dim_mult"]),
        blocks=sizes["num_res_blocks"],
        temporal=tuple(sizes["temperal_downsample"]),
    )
    vae = WanVae(config, normalize_encoded=normalized)
    vae.load_state_dict(case.weights(prefix))
    return vae.requires_grad_(False)


def one_after_another(lengths: Sequence[int]) -> list[slice]:
    """The slices of consecutive pieces of these lengths."""
    stops = accumulate(lengths)
    return [slice(stop - length, stop) for length, stop in zip(lengths, stops, strict=True)]


def whole_latents(lengths: Sequence[int]) -> list[slice]:
    """The same for frames, without an incomplete last group: the reference drops it silently."""
    pieces = one_after_another(lengths)
    return [
        slice(piece.start, piece.stop - (length - (piece.start == 0)) % CHUNK_FRAMES)
        for piece, length in zip(pieces, lengths, strict=True)
    ]


def in_pieces(
    direction: Direction, whole: Tensor, pieces: Sequence[slice], state: WanVaeState
) -> Tensor:
    """`whole` through `direction`, piece by piece; empty pieces are left out."""
    return torch.cat([direction(whole[p], state) for p in pieces if len(whole[p])])


def _frames_last(x_TCHW: Tensor) -> Tensor:
    return rearrange(x_TCHW, "t c h w -> 1 c t h w")

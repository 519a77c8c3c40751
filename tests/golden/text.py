"""Family h: the umT5 encoder, and the cleaning of what it reads."""

import re
import string
from typing import cast

import torch
from slipstream_engine.conditioning.cleaning import clean, repair
from slipstream_engine.models.text.umt5 import (
    Umt5Block,
    Umt5Config,
    Umt5Encoder,
    pad_rows,
    position_buckets,
)
from torch import Tensor

from tests.golden.case import Case, Replay


def replay(case: Case) -> Replay:
    return _encoder(case) if case.description.get("weights") else _cleaning(case)


def _encoder(case: Case) -> Replay:
    sizes = case.config["t5"]
    encoder = Umt5Encoder(
        Umt5Config(
            vocabulary=sizes["vocab_size"],
            dim=sizes["dim"],
            attention_dim=sizes["dim_attn"],
            ffn_dim=sizes["dim_ffn"],
            heads=sizes["num_heads"],
            layers=sizes["encoder_layers"],
        )
    )
    encoder.load_state_dict(case.weights())
    ids_BL, mask_BL = case.tensor("in.ids"), case.tensor("in.mask").bool()
    first_block = cast(Umt5Block, encoder.blocks[0])
    length = ids_BL.shape[1]
    tensors = {
        "out.encoder_raw": encoder.forward(ids_BL, mask_BL),
        "out.prompt_embeds": _real_tokens_alone(encoder, ids_BL, mask_BL),
        "out.bucket_table": position_buckets(case.config["table_len"]),
        "out.bucket_by_offset": _by_offset(case),
        "out.block0_pos_bias": first_block.pos_embedding.forward(position_buckets(length)),
    }
    return Replay(tensors={name: tensors[name] for name in case.outputs if name in tensors})


def _by_offset(case: Case) -> Tensor:
    """The bucket of each offset of a case, as many behind the query as before it."""
    offsets = len(case.tensor("out.bucket_by_offset")) if case.has("out.bucket_by_offset") else 1
    buckets_QK = position_buckets((offsets + 1) // 2)
    return torch.cat([buckets_QK[-1, :-1], buckets_QK[0]])


def _real_tokens_alone(encoder: Umt5Encoder, ids_BL: Tensor, mask_BL: Tensor) -> Tensor:
    """Each prompt encoded without its padding, as the engine does it."""
    return torch.stack(
        [
            pad_rows(encoder.forward(ids_L[mask_L][None])[0], len(ids_L))
            for ids_L, mask_L in zip(ids_BL, mask_BL, strict=True)
        ]
    )


def _cleaning(case: Case) -> Replay:
    """Our cleaning of each text; the reference does not use `lower` and `canonicalize`."""
    claims = {}
    for example in case.description["cases"]:
        text = example["input"]
        ours = {
            "basic_clean": repair(text),
            "whitespace": clean(text),
            "lower": clean(text).lower(),
            "canonicalize": _canonical(repair(text)),
        }
        for name in ours.keys() & example.keys():
            computed = ours[name]
            claims[f"{name} of {text!r} is {example[name]!r}"] = computed == example[name]
    return Replay(claims=claims)


def _canonical(repaired: str) -> str:
    bare = repaired.replace("_", " ").translate(str.maketrans("", "", string.punctuation))
    return re.sub(r"\s+", " ", bare.lower()).strip()

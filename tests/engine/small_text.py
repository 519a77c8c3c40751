"""A umT5 of a few kilobytes, its tokenizer and its files."""

import gc
import json
from pathlib import Path

import torch
from safetensors.torch import save_file
from slipstream_engine.conditioning.umt5_text import Umt5Files
from slipstream_engine.models.text.umt5 import Umt5Config, Umt5Encoder

CONFIG = Umt5Config(vocabulary=16, dim=32, attention_dim=32, ffn_dim=48, heads=4, layers=2)
WORDS = {"<pad>": 0, "</s>": 1, "<unk>": 2, "a": 3, "cat": 4, "dog": 5, "sits": 6, "runs": 7}


def write_tokenizer(folder: Path) -> Path:
    """A `tokenizer.json` that knows a few words."""
    file = folder / "tokenizer.json"
    description = {
        "version": "1.0",
        "added_tokens": [],
        "pre_tokenizer": {"type": "WhitespaceSplit"},
        "model": {"type": "WordLevel", "vocab": WORDS, "unk_token": "<unk>"},
    }
    file.write_text(json.dumps(description))
    return file


def write_files(folder: Path) -> Umt5Files:
    """Weights and tokenizer of a small encoder."""
    torch.manual_seed(5)
    weights = folder / "umt5.safetensors"
    save_file(Umt5Encoder(CONFIG).bfloat16().state_dict(), weights)
    return Umt5Files(weights=weights, tokenizer=write_tokenizer(folder))


def encoders_in_memory() -> int:
    """How many umT5 encoders this process holds."""
    gc.collect()
    return sum(issubclass(type(found), Umt5Encoder) for found in gc.get_objects())

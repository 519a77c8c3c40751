"""Files of the real sizes load and run, in the memory of the files and little more."""

import json
import math
import resource
from pathlib import Path

import numpy as np
import psutil
import pytest
from safetensors.torch import save_file
from slipstream_engine.conditioning.embedding_cache import EmbeddingCache
from slipstream_engine.conditioning.encoder_placement import EncoderPlacement
from slipstream_engine.diffusion.pipeline import DiffusionPipeline
from slipstream_engine.models.text.umt5 import Umt5Config, Umt5Encoder
from slipstream_engine.weights.factory import configure
from slipstream_engine.weights.registry import GENERATOR_1_3B, TAEHV, TOKENIZER, UMT5, WAN_VAE
from slipstream_engine.weights.request import ModelRequest
from slipstream_engine.weights.wan import ModelSizes, load_wan_bundle
from slipstream_protocol.parameters import Parameters

from tests.engine import small_text
from tests.engine.keylists import real_shapes

NEEDED_BYTES = 6 * 2**30
BLACK_LUMA, GREY_CHROMA = 16, 128
# umT5's 11 GB are left out: its width must fit the model, the rest is small
TEXT = Umt5Config(vocabulary=16, dim=4096, attention_dim=64, ffn_dim=64, heads=4, layers=1)


def write_zeros(path: Path, keys: str) -> int:
    """A bfloat16 checkpoint of the real tensors that takes no room on the disk; its bytes."""
    header, end = {}, 0
    for name, shape in real_shapes(keys).items():
        begin, end = end, end + 2 * math.prod(shape)
        header[name] = {"dtype": "BF16", "shape": list(shape), "data_offsets": [begin, end]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        file.truncate(8 + len(text) + end)
    return end


@pytest.mark.slow
@pytest.mark.skipif(
    psutil.virtual_memory().available < NEEDED_BYTES, reason="needs 6 GB of free memory"
)
def test_the_fast_preset_of_1_3b_loads_and_makes_a_chunk(tmp_path: Path) -> None:
    """Transformer, VAE and TAEHV in full size; nothing is copied that could stay in its file."""
    files_bytes = sum(
        write_zeros(tmp_path / artifact.file, keys)
        for artifact, keys in (
            (GENERATOR_1_3B, "wan_t2v_1.3b_dit"),
            (WAN_VAE, "wan2.1_vae"),
            (TAEHV, "taehv_taew2_1"),
        )
    )
    save_file(Umt5Encoder(TEXT).bfloat16().state_dict(), tmp_path / UMT5.file)
    small_text.write_tokenizer(tmp_path).rename(tmp_path / TOKENIZER.file)
    config = configure(ModelRequest(preset="wan-1.3b-fast", size_px=(16, 16), device="cpu"))
    before_bytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    parts = load_wan_bundle(
        config,
        tmp_path,
        EmbeddingCache(tmp_path / "embeddings", model="small", max_bytes=10**8),
        encoder=EncoderPlacement(),
        sizes=ModelSizes(umt5=TEXT),
    )
    pipeline = DiffusionPipeline(config, parts)
    # one step, since bfloat16 is slow on a CPU
    stream = pipeline.open(Parameters(denoising_step_list=pipeline.step_list[:1]))
    frames = np.full((5, *pipeline.geometry.frame_shape), 90, dtype=np.uint8)
    out = np.empty_like(frames)
    stream.step(frames, out)
    pipeline.close()
    assert (out[:, :16] == BLACK_LUMA).all() and (out[:, 16:] == GREY_CHROMA).all()
    peak_bytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - before_bytes
    assert peak_bytes < 1.5 * files_bytes

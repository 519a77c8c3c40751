"""A real preset with small sizes, its folder of weights, and clips for it."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from slipstream_engine.codec.hybrid import CodecName
from slipstream_engine.conditioning.embedding_cache import EmbeddingCache
from slipstream_engine.conditioning.encoder_placement import EncoderPlacement
from slipstream_engine.config import Compilation, DitParams, EngineConfig, Preset
from slipstream_engine.diffusion.cuda_graphs import Recorder
from slipstream_engine.diffusion.pipeline import DiffusionPipeline
from slipstream_engine.diffusion.stream import DiffusionStream
from slipstream_engine.models.dit.transformer import CausalDit
from slipstream_engine.models.vae.taehv import Taehv
from slipstream_engine.models.vae.taehv_config import TaehvParams, TaehvStage
from slipstream_engine.models.vae.wan_vae import WanVae, WanVaeConfig
from slipstream_engine.presets import PRESETS
from slipstream_engine.weights.registry import CODECS, GENERATORS, TOKENIZER, UMT5
from slipstream_engine.weights.wan import ModelSizes, load_wan_bundle
from slipstream_protocol.frames import I420
from slipstream_protocol.parameters import Parameters

from tests.engine import small_text

DIT = DitParams(dim=64, heads=2, layers=2, ffn_dim=96, text_dim=small_text.CONFIG.dim)
SIZES = ModelSizes(
    wan_vae=WanVaeConfig(channels=4),
    taehv=TaehvParams(
        encoder_width=8,
        encoder=tuple(TaehvStage(width=8, time=time) for time in (2, 2, 1)),
        decoder=tuple(TaehvStage(width=8, time=time) for time in (1, 2, 2)),
        decoder_width=8,
    ),
    umt5=small_text.CONFIG,
)


def preset(name: str = "wan-1.3b", codec: str = "wan") -> Preset:
    one = PRESETS[name].at_one_size(48, 32)
    return replace(one, dit=DIT, codec=codec, prompt="a cat sits")


def write_weights(folder: Path) -> Path:
    """A folder of weights as `pull` writes it, with small models of random numbers."""
    folder.mkdir()
    torch.manual_seed(4)
    text = small_text.write_files(folder)
    for generator in set(GENERATORS.values()):
        save_file(CausalDit(DIT).state_dict(), folder / generator.file)
    codecs = {CodecName.WAN: WanVae(SIZES.wan_vae), CodecName.TAEHV: Taehv(SIZES.taehv)}
    for parameter in codecs[CodecName.TAEHV].parameters():
        parameter.data *= 2.5  # else so many convolutions erase their input
    for name, codec in codecs.items():
        save_file(codec.state_dict(), folder / CODECS[name].file)
    text.weights.rename(folder / UMT5.file)
    text.tokenizer.rename(folder / TOKENIZER.file)
    return folder


def make(
    weights: Path,
    cache: Path,
    wanted: Preset | None = None,
    *,
    device: str = "cpu",
    compilation: Compilation = Compilation.NONE,
    recorder: Recorder | None = None,
    checkpoint: Path | None = None,
) -> DiffusionPipeline[object]:
    """A pipeline with the weights of such a folder; the caller closes it."""
    config = EngineConfig(
        preset=wanted or preset(),
        device=device,
        dtype="float32",
        max_streams=2,
        compilation=compilation,
        checkpoint=checkpoint,
    )
    bundle = load_wan_bundle(
        config,
        weights,
        EmbeddingCache(cache, model="small", max_bytes=10**7),
        encoder=EncoderPlacement(),
        sizes=SIZES,
    )
    return DiffusionPipeline(config, bundle, recorder=recorder)


def ramp(pipeline: DiffusionPipeline[object], chunk: int) -> I420:
    """Chunk `chunk` of a moving ramp."""
    shape = (pipeline.geometry.frames_of(chunk), *pipeline.geometry.frame_shape)
    values = np.arange(np.prod(shape), dtype=np.int64).reshape(shape) * (chunk + 3) // 7
    return (values % 256).astype(np.uint8)


def run(
    pipeline: DiffusionPipeline[object], stream: DiffusionStream[object], chunks: range
) -> list[I420]:
    """A stream's output for chunks of the ramp."""
    generated = []
    for chunk in chunks:
        frames = ramp(pipeline, chunk)
        out = np.empty_like(frames)
        stream.step(frames, out)
        generated.append(out)
    return generated


def pictures(weights: Path, cache: Path, wanted: Preset, prompt: str) -> list[I420]:
    """The first three chunks of a new pipeline."""
    pipeline = make(weights, cache, wanted)
    stream = pipeline.open(Parameters(prompt=prompt, seed=3))
    stream.await_prompts()
    generated = run(pipeline, stream, range(3))
    pipeline.close()
    return generated

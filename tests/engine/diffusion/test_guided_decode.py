"""diffusion/chunk.py with a decoder that sees the camera: each chunk keeps its own frames."""

import numpy as np
import torch
from slipstream_engine.config import EngineConfig
from slipstream_engine.diffusion.pipeline import DiffusionPipeline
from slipstream_engine.models.vae.taehv import TaehvState
from slipstream_engine.presets import PRESETS
from slipstream_engine.weights.embedded import load_embedded_bundle
from slipstream_protocol.frames import I420
from slipstream_protocol.parameters import Parameters

CHUNKS = (5, 4, 4)


def decoded(
    pipeline: DiffusionPipeline[TaehvState], chunks: list[I420], *, ahead: int
) -> list[I420]:
    """The chunks' pictures, of which each waits until `ahead` later ones are denoised."""
    stream = pipeline.open(Parameters(prompt="pencil"))
    waiting, seen = [], []
    for frames in chunks:
        chunk = stream.encode(frames)
        pipeline.denoise([chunk])
        waiting.append((chunk, np.empty_like(frames)))
        if len(waiting) > ahead:
            seen.append(waiting.pop(0))
            stream.decode(*seen[-1])
    for late in waiting:
        stream.decode(*late)
    stream.close()
    return [out for _, out in (*seen, *waiting)]


def test_a_chunk_is_drawn_by_its_own_frames() -> None:
    """the camera's next chunk may be encoded and denoised before this one is decoded."""
    config = EngineConfig(preset=PRESETS["tiny"].at_one_size(64, 64), max_streams=1)
    pipeline = DiffusionPipeline(config, load_embedded_bundle(config))
    rng = np.random.default_rng(0)
    chunks = [np.full((count, *pipeline.geometry.frame_shape), 128, np.uint8) for count in CHUNKS]
    for chunk in chunks:
        chunk[:, :64] = np.kron(rng.integers(30, 220, (8, 8)), np.ones((8, 8)))
    in_turn, late = (decoded(pipeline, chunks, ahead=ahead) for ahead in (0, 1))
    for one, other in zip(in_turn, late, strict=True):
        assert np.array_equal(one, other)
    camera_TCHW = pipeline.open(Parameters()).encode(chunks[0]).camera_TCHW
    assert camera_TCHW is not None and camera_TCHW.dtype == torch.float32

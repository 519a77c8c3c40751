"""On a CUDA device: copies lose nothing, and graphs make the frames of eager code."""

from pathlib import Path

import numpy as np
import pytest
import torch
from slipstream_engine.config import Compilation
from slipstream_engine.device.transfer import Download, Upload
from slipstream_protocol.parameters import Parameters

from tests.engine import small_real

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]
CUDA = "cuda:0"


def test_chunks_come_back_as_they_went() -> None:
    """Every chunk is itself after a way there and back behind slow work."""
    shape = (5, 720, 832)
    device = torch.device(CUDA)
    upload, download = Upload(shape, device), Download(shape, device)
    load = torch.randn(4096, 4096, device=device)
    out = np.empty(shape, dtype=np.uint8)
    for number in range(12):
        chunk = np.full(shape, number, dtype=np.uint8)
        with upload.sent(chunk) as sent_THW:
            chunk[:] = 255  # the caller's own again
            load = (load @ load).clamp(-1, 1)
            made_THW = sent_THW + 100
        download.fetch(made_THW, out)
        assert (out == number + 100).all()


@pytest.mark.parametrize("codec", ["wan", "wan+taehv"])
@pytest.mark.parametrize("compilation", [Compilation.GRAPH, Compilation.INDUCTOR])
def test_compiled_frames_are_the_eager_ones(
    tmp_path: Path, codec: str, compilation: Compilation
) -> None:
    """Through prompts, steps and a reset, to the last level but one."""
    weights = small_real.write_weights(tmp_path / "weights")
    generated = []
    for wanted in (Compilation.NONE, compilation):
        pipeline = small_real.make(
            weights,
            tmp_path / "cache",
            small_real.preset(codec=codec),
            device=CUDA,
            compilation=wanted,
        )
        pipeline.warm_up()
        assert "eager" not in pipeline.note
        stream = pipeline.open(Parameters(seed=3))
        frames = small_real.run(pipeline, stream, range(10))
        stream.apply(Parameters(prompt="a dog runs", denoising_step_list=(700, 500, 400)))
        stream.await_prompts()
        frames += small_real.run(pipeline, stream, range(10, 14))
        stream.apply(Parameters(reset_cache=True))
        generated.append(frames + small_real.run(pipeline, stream, range(14, 24)))
        pipeline.close()
    if compilation is Compilation.GRAPH:
        steps = {("denoise", row) for row in range(3)}
        assert stream.state.runner.recorded == {("encode", 4), ("decode", 1), *steps}
    for eager, compiled in zip(*generated, strict=True):
        assert np.abs(eager.astype(int) - compiled.astype(int)).max() <= 2

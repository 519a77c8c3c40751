"""A pipeline with little memory: fewer steps, smaller passes, the same pictures."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from slipstream_engine.config import EngineConfig
from slipstream_engine.diffusion.batched_step import BatchedDenoiser
from slipstream_engine.diffusion.chunk import LatentChunk
from slipstream_engine.diffusion.pipeline import DiffusionPipeline, ModelBundle
from slipstream_engine.diffusion.shared_conditioning import SharedConditioning
from slipstream_engine.models.dit.blocks import Conditioning
from slipstream_protocol.frames import I420
from slipstream_protocol.parameters import Parameters, Prompt, Transition

from tests.engine.toys import CACHE, ToyCodec, ToyText, moving_chunk, toy_model, toy_preset

ADAPTIVE = replace(CACHE, sink_threshold=0.95)
STREAMS = 3


class LittleMemory:
    def __init__(self, free_bytes: int) -> None:
        self._free_bytes = free_bytes

    def used_bytes(self) -> int:
        return 0

    def free_bytes(self) -> int:
        return self._free_bytes


def make(
    *, free_bytes: int = 1 << 40, max_steps: int | None = None, sharing: int = 16
) -> DiffusionPipeline[Any]:
    """A pipeline of toys; a pass of more than `sharing` chunks runs out of memory half-way."""
    config = EngineConfig(
        preset=toy_preset(cache=ADAPTIVE), max_streams=STREAMS, max_steps=max_steps
    )
    model = toy_model()
    block = model.blocks[1]
    forward = block.forward

    def limited(x_BFSC: torch.Tensor, *args: Any) -> torch.Tensor:
        if x_BFSC.shape[0] > sharing:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 MiB")
        out: torch.Tensor = forward(x_BFSC, *args)
        return out

    block.forward = limited
    bundle = ModelBundle(model=model, codec=ToyCodec(), text=ToyText())
    return DiffusionPipeline(config, bundle, memory=LittleMemory(free_bytes))


def shared(pipeline: DiffusionPipeline[Any]) -> list[I420]:
    """Chunks of streams that share all passes, one of them between two prompts."""
    streams = [pipeline.open(Parameters(seed=seed, prompt=f"p{seed}")) for seed in range(STREAMS)]
    out: list[I420] = []
    for number in range(10):
        if number == 6:
            way = Transition((Prompt("a dog"),), num_steps=3)
            streams[0].apply(Parameters(transition=way))
        chunks: list[LatentChunk[Any]] = [each.encode(moving_chunk(number)) for each in streams]
        while not chunks[0].is_clean:
            if number:
                pipeline.denoise(chunks)
            else:
                for chunk in chunks:
                    pipeline.denoise([chunk])
        for stream, chunk in zip(streams, chunks, strict=True):
            out.append(np.empty_like(moving_chunk(number)))
            stream.decode(chunk, out[-1])
    return out


@pytest.mark.parametrize("sharing", [1, 2])
def test_a_pass_without_memory_is_run_in_parts(sharing: int) -> None:
    """Nobody is closed, and every picture is that of a device with memory: what the failed pass
    has changed of the order of eviction is undone."""
    limited = make(sharing=sharing)
    for ours, theirs in zip(shared(limited), shared(make()), strict=True):
        assert np.abs(ours.astype(int) - theirs.astype(int)).max() <= 1


def test_a_chunk_alone_without_memory_fails() -> None:
    """There is nothing smaller to try; and other errors are not tried again."""
    pipeline = make(sharing=0)
    chunk = pipeline.open(Parameters()).encode(moving_chunk(0))
    with pytest.raises(torch.OutOfMemoryError):
        pipeline.denoise([chunk])


def test_a_refused_size_is_not_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """From then on passes are small from the start."""
    sizes: list[int] = []
    run = BatchedDenoiser.run

    def noted(denoiser: BatchedDenoiser[Any], chunks: Sequence[LatentChunk[Any]]) -> None:
        sizes.append(len(chunks))
        run(denoiser, chunks)

    pipeline = make(sharing=1)
    monkeypatch.setattr(BatchedDenoiser, "run", noted)
    shared(pipeline)
    assert sizes.count(STREAMS) == 1 and sizes.count(2) == 0


def test_a_stream_has_rows_for_the_steps_there_is_memory_for() -> None:
    """The others are not offered; the note says why, and whoever asks is told the most."""
    rich, poor, insisted = make(), make(free_bytes=0), make(free_bytes=0, max_steps=3)
    assert [len(each.step_list) for each in (rich, poor, insisted)] == [4, 2, 3]
    assert [each.pool.cache.row_count for each in (rich, poor, insisted)] == [12, 6, 9]
    assert "at most 2 of 4 steps" in poor.note and "steps" not in rich.note
    stream = poor.open(Parameters())
    with pytest.raises(ValueError, match="denoising_step_list has 3 steps, the most is 2"):
        stream.apply(Parameters(denoising_step_list=(700, 500, 400)))


def test_shared_conditioning_is_copied_once() -> None:
    """A sample is copied where another lay in its place, stays where it is, and is erased."""
    numbers = [
        Conditioning(
            k_NBTHD=torch.full((2, 1, 3, 1, 4), float(n)), v_NBTHD=torch.ones(2, 1, 3, 1, 4)
        )
        for n in range(1, 4)
    ]
    room = SharedConditioning(3)

    def firsts(*which: int) -> list[float]:
        loaded = room.load([numbers[n] for n in which])
        addresses.add(loaded.k_NBTHD.data_ptr())
        return loaded.k_NBTHD[0, :, 0, 0, 0].tolist()

    addresses: set[int] = set()
    assert firsts(0, 1) == [1, 2]
    numbers[0].k_NBTHD.fill_(9)
    assert firsts(0, 2, 1) == [1, 3, 2], "what lies there already is not copied again"
    assert firsts(2, 2, 2) == [3], "one for all who share it"
    room.clear()
    assert firsts(1, 0) == [2, 9]
    assert len(addresses) == 1

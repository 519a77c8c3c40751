"""device/memory.py: what is left, and that a stream which would not fit is refused before it
begins.
"""

import mmap
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from slipstream_engine.config import EngineConfig
from slipstream_engine.device.memory import HostMemory, memory_of
from slipstream_engine.diffusion.pipeline import DiffusionPipeline, ModelBundle
from slipstream_engine.errors import AdmissionError
from slipstream_protocol.parameters import Parameters

from tests.engine.toys import ToyCodec, ToyCodecState, ToyText, toy_model, toy_preset

MB = 1_000_000


@dataclass
class FakeMemory:
    """A device of `total` bytes of which every open stream takes `each`."""

    total: int
    each: int
    streams: int = 0

    def used_bytes(self) -> int:
        return self.streams * self.each

    def free_bytes(self) -> int:
        return self.total - self.used_bytes()


class HungryCodec(ToyCodec):
    """Tells the fake memory of each stream's first chunk, when a codec's caches are made."""

    def __init__(self, memory: FakeMemory) -> None:
        self._memory = memory

    def encode(self, rgb_TCHW: torch.Tensor, state: ToyCodecState) -> torch.Tensor:
        self._memory.streams += len(rgb_TCHW) == 5
        return super().encode(rgb_TCHW, state)


def test_a_stream_that_would_run_out_of_memory_later_is_refused_now() -> None:
    """by what the warming up took, caches of the first chunk included; the sizes are told."""
    memory = FakeMemory(total=250 * MB, each=100 * MB)
    bundle = ModelBundle(model=toy_model(), codec=HungryCodec(memory), text=ToyText())
    config = EngineConfig(preset=toy_preset(), max_streams=4)
    pipeline = DiffusionPipeline(config, bundle, memory=memory)
    pipeline.warm_up()
    memory.streams = 0  # the throw-away stream is gone
    streams = []
    for _ in range(2):
        streams.append(pipeline.open(Parameters()))
        memory.streams += 1
    refused = r"a stream takes 100 MB of memory, 50 MB are free; wait until a viewer leaves"
    with pytest.raises(AdmissionError, match=refused):
        pipeline.open(Parameters())
    streams.pop().close()
    memory.streams -= 1
    streams.append(pipeline.open(Parameters()))


@pytest.mark.skipif(memory_of(torch.device("cpu")) is None, reason="needs Linux's own account")
def test_the_hosts_account_moves_with_what_is_taken() -> None:
    """64 MB more are in use after 64 MB have been written to."""
    memory = HostMemory()
    before = memory.used_bytes()
    # straight from the system: an allocator may give what it has kept of something else
    with mmap.mmap(-1, 64 * MB) as pages:
        taken = np.frombuffer(pages, dtype=np.uint8)
        taken[:] = 1
        assert 60 * MB < memory.used_bytes() - before < 80 * MB
        assert memory.free_bytes() > MB
        del taken


def test_memory_that_cannot_be_known_refuses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """as on Apple's GPUs: there the allocation itself must fail."""
    assert memory_of(torch.device("mps")) is None
    monkeypatch.setattr("slipstream_engine.diffusion.pipeline.memory_of", lambda _device: None)
    memory = FakeMemory(total=250 * MB, each=100 * MB)
    parts = ModelBundle(model=toy_model(), codec=HungryCodec(memory), text=ToyText())
    pipeline = DiffusionPipeline(EngineConfig(preset=toy_preset(), max_streams=4), parts)
    pipeline.warm_up()
    assert memory.streams > 0  # warming up took some, and nobody saw it
    streams = [pipeline.open(Parameters()) for _ in range(4)]
    assert all(stream.prompts for stream in streams)

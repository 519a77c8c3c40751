"""A step makes the host wait for nothing: every operation of it is looked at."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from slipstream_engine.config import Pinning, Positions
from slipstream_protocol.parameters import Parameters, Prompt, Transition
from torch.utils._python_dispatch import TorchDispatchMode

from tests.engine.toys import CACHE, moving_chunk, toy_pipeline, toy_preset


class NoHostSync(TorchDispatchMode):
    """Fails where the host reads a number from the device or the device's data decides a shape."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # torch has no types here

    FORBIDDEN = ("_local_scalar_dense", "nonzero", "masked_select", "is_nonzero", "equal", "unique")

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        name = func.overloadpacket.__name__
        assert name not in self.FORBIDDEN, f"{func} makes the host wait for the device"
        return func(*args, **(kwargs or {}))


def test_the_tracer_can_fail() -> None:
    """The mode below does see an `.item()`."""
    with pytest.raises(AssertionError, match="makes the host wait"), NoHostSync():
        torch.ones(()).item()


@pytest.mark.parametrize(
    "cache",
    [
        replace(CACHE, sink_threshold=0.95),
        replace(CACHE, slots=4, sinks=1, pinning=Pinning.SINKS, positions=Positions.RELATIVE),
    ],
    ids=["adaptive", "relative"],
)
def test_no_host_sync_in_a_step(cache: Any) -> None:
    """From bytes to bytes nothing makes the host wait, while filling, full, or between prompts."""
    stream = toy_pipeline(toy_preset(cache=cache)).open(Parameters())
    target = (Prompt("a dog"), Prompt("a cat", 0.5))
    way = Transition(target, num_steps=2, temporal_interpolation_method="slerp")
    for number in range(9):
        if number == 7:
            stream.apply(Parameters(transition=way))
        with NoHostSync():
            frames = moving_chunk(number)
            stream.step(frames, np.empty_like(frames))

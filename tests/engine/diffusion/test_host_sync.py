"""A step makes the host wait for nothing: every operation of it is looked at."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from slipstream_engine.config import Pinning, Positions
from slipstream_protocol.parameters import Parameters, Prompt, Transition
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from tests.engine.toys import CACHE, moving_chunk, toy_pipeline, toy_preset


class NoReading(TorchFunctionMode):
    """Fails where numbers are taken to the host by a way that shows no operation."""

    FORBIDDEN = ("tolist", "cpu")

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        name = getattr(func, "__name__", "")
        assert name not in self.FORBIDDEN, f"{name} makes the host wait for the device"
        return func(*args, **(kwargs or {}))


class NoHostSync(TorchDispatchMode):
    """Fails where the host reads a number from the device or the device's data decides a shape."""

    # in inference mode `item` and the truth of a tensor come whole, else as what they are made of
    FORBIDDEN = (
        *("item", "is_nonzero", "_local_scalar_dense"),
        *("nonzero", "masked_select", "equal", "_unique2"),
    )

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # torch has no types here

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        name = func.overloadpacket.__name__
        is_mask = name in ("index", "index_put_") and any(
            which is not None and which.dtype is torch.bool for which in args[1]
        )
        assert name not in self.FORBIDDEN and not is_mask, (
            f"{func} makes the host wait for the device"
        )
        return func(*args, **(kwargs or {}))


@contextmanager
def no_host_sync() -> Iterator[None]:
    """Inside, nothing may make the host wait."""
    with NoReading(), NoHostSync():
        yield


SYNCS: dict[str, Callable[[Tensor], object]] = {
    "item": lambda x: x.sum().item(),
    "int": lambda x: int(x[0]),
    "truth": lambda x: bool((x > 0).any()),
    "list": lambda x: x.tolist(),
    "copy": lambda x: x.cpu(),
    "equality": lambda x: torch.equal(x, x),
    "nonzero": lambda x: x.nonzero(),
    "mask": lambda x: x[x > 0],
    "masked write": lambda x: x.__setitem__(x > 0, x.clone()),
    "slice": lambda x: x[: x[0].long()],
    "unique": lambda x: x.unique(),
}


@pytest.mark.parametrize("inference", [False, True])
@pytest.mark.parametrize("sync", SYNCS.values(), ids=SYNCS)
def test_the_tracer_can_fail(sync: Callable[[Tensor], object], inference: bool) -> None:
    """It sees all these ways to wait, in the mode in which steps run too."""
    with (
        torch.inference_mode(inference),
        pytest.raises(AssertionError, match="makes the host wait"),
        no_host_sync(),
    ):
        sync(torch.ones(2))


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
        with no_host_sync():
            frames = moving_chunk(number)
            stream.step(frames, np.empty_like(frames))


def test_no_host_sync_in_a_shared_pass() -> None:
    """Nor where chunks of several streams, each at its own step, go through one pass; the rows that
    they share lie apart, so that none goes the way of one alone."""
    pipeline = toy_pipeline(toy_preset(cache=replace(CACHE, sink_threshold=0.95)))
    first, between, last = (pipeline.open(Parameters(prompt=f"p{n}", seed=n)) for n in range(3))
    between.close()
    for number in range(9):
        frames = moving_chunk(number)
        out = np.empty_like(frames)
        with no_host_sync():
            chunks = [stream.encode(frames) for stream in (first, last)]
            pipeline.denoise(chunks[:1])  # from here on they are a step apart
            pipeline.denoise(chunks)
            pipeline.denoise(chunks[1:])
            assert chunks[0].is_clean and chunks[1].is_clean
            first.decode(chunks[0], out)
            last.decode(chunks[1], out)

"""account/fake_device.py and account/cost_counter.py see what a GPU would not forgive."""

from collections.abc import Callable, Iterator

import pytest
import torch
from slipstream_engine.account.cost_counter import CostCounter
from slipstream_engine.account.fake_device import FAKE_CUDA, FakeCuda, fake_cuda
from torch import Tensor
from torch._subclasses.fake_tensor import (
    DataDependentOutputException,
    DynamicOutputShapeException,
)
from torch.fx.experimental.symbolic_shapes import GuardOnDataDependentSymNode


@pytest.fixture
def device() -> Iterator[FakeCuda]:
    with fake_cuda() as entered:
        yield entered


def on_device(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.empty(*shape, device=FAKE_CUDA, dtype=dtype)


READS: dict[str, Callable[[Tensor], object]] = {
    "item": lambda x: x.sum().item(),
    "int": lambda x: int(x[0]),
    "truth": lambda x: bool((x > 0).any()),
    "nonzero": lambda x: x.nonzero(),
    "slice": lambda x: x[: x[0].long()],
}


@pytest.mark.parametrize("read", READS.values(), ids=READS)
def test_numbers_cannot_be_read(device: FakeCuda, read: Callable[[Tensor], object]) -> None:
    """They are not there: code that looks at them ends."""
    unknown = DataDependentOutputException, DynamicOutputShapeException, GuardOnDataDependentSymNode
    with CostCounter(device), pytest.raises(unknown):
        read(on_device(3))


def test_mixed_devices_are_reported(device: FakeCuda) -> None:
    """An operation of both kinds of tensors, or on the host while recording; with its place."""
    with CostCounter(device) as counter:
        on_device(3) + torch.ones(())
        assert counter.problems == [
            "add of tensors of the host and of the device (outside the engine)"
        ]
        with counter.recording():
            torch.ones(3) + 1
        assert counter.problems[1].startswith("ones of the host in a recorded function")


def test_waits_are_counted(device: FakeCuda) -> None:
    """Pageable copies, copies to the host and events; not what is pinned and asked for."""
    pinned = torch.empty(3, pin_memory=True)
    waiting: list[Callable[[], object]] = [
        lambda: torch.empty(3).to(FAKE_CUDA),
        lambda: torch.empty(3).to(FAKE_CUDA, non_blocking=True),
        lambda: torch.tensor([1.0], device=FAKE_CUDA),
        lambda: pinned.to(FAKE_CUDA),
        lambda: on_device(3).cpu(),
        torch.cuda.synchronize,
        lambda: torch.cuda.current_stream().synchronize(),
    ]
    free: list[Callable[[], object]] = [
        lambda: pinned.to(FAKE_CUDA, non_blocking=True),
        lambda: on_device(3).copy_(pinned, non_blocking=True),
        lambda: pinned.copy_(on_device(3), non_blocking=True),
        lambda: torch.cuda.Event().synchronize(),  # never recorded
    ]
    with CostCounter(device) as counter:
        for actions, waits in ((waiting, 1), (free, 0)):
            for action in actions:
                with counter.stage() as cost:
                    action()
                assert cost.waits == waits


def test_costs_are_counted(device: FakeCuda) -> None:
    """Launches, bytes of what is read and written, operations, memory while it is held."""
    with CostCounter(device) as counter, torch.inference_mode():
        a, b = on_device(64, 128), on_device(32, 128)
        base = counter.live_bytes
        with counter.stage() as cost:
            c = torch.nn.functional.linear(a, b)
            c = c[:, ::2].relu().t()
            kept = c.clone()
        assert (cost.launches, cost.flop) == (3, 2 * 64 * 128 * 32)
        assert cost.moved_bytes == 4 * (64 * 128 + 32 * 128 + 64 * 32) + 2 * 4 * 2 * 64 * 16
        assert counter.live_bytes == base + 2 * 4 * 64 * 16
        assert cost.peak_bytes == 4 * 64 * 32 - 4 * 64 * 16, "beyond what is kept"
        del c, kept
        assert counter.live_bytes == base


def test_a_write_through_an_index_counts_its_rows(device: FakeCuda) -> None:
    """Not the whole of what it writes to; and so does a read."""
    with CostCounter(device) as counter, torch.inference_mode():
        cache, rows = on_device(1000, 8), on_device(2, dtype=torch.int64)
        with counter.stage() as cost:
            cache[rows] = on_device(2, 8)
            cache[rows]
        assert (cost.launches, cost.moved_bytes) == (2, 2 * 4 * 16 + 2 * 4 * 16)


def test_the_device_is_gone_afterwards() -> None:
    """A real torch is as it was."""
    before = (torch.cuda.Stream, torch.Generator)
    with fake_cuda():
        assert on_device(4)[1:3].shape == (2,)
    assert (torch.cuda.Stream, torch.Generator) == before
    with pytest.raises((RuntimeError, AssertionError)):
        torch.cuda.Stream.__new__(torch.cuda.Stream, device=FAKE_CUDA)

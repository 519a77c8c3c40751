"""Looks at every operation on a device: what it costs, and what is wrong with it.

What it counts is what torch's own kernels would do, one for each operation; what they fuse inside
themselves is one. Bytes are those of an operation's inputs and outputs.
"""

import sys
import weakref
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

from slipstream_engine.account.fake_device import FakeCuda

_EXACT_NUMBERS = 1 << 20  # so many in float64 are no load; more are, on most GPUs
# composite operations that a device has a kernel of its own for
_WHOLE = ("linear", "conv2d", "conv3d", "scaled_dot_product_attention", "layer_norm", "rms_norm")
_NO_WORK = (
    "_unsafe_view",
    "detach",
    "empty",
    "new_empty",
    "empty_like",
    "empty_strided",
    "new_empty_strided",
)


@dataclass(slots=True, kw_only=True)
class StageCost:
    """What a stage costs the device.

    Args:
        launches: kernels.
        moved_bytes: read and written by them.
        flop: of matrix products, convolutions and attention.
        peak_bytes: allocated at once beyond what was there before, or is there afterwards.
        waits: how often the host waits for the device.
        operations: how often each was launched.
    """

    launches: int = 0
    moved_bytes: int = 0
    flop: int = 0
    peak_bytes: int = 0
    waits: int = 0
    operations: Counter[str] = field(default_factory=Counter)

    def plus(self, one: "StageCost", two: "StageCost", times: int) -> "StageCost":
        """This, and so many times what `two` costs more than `one`."""

        def more(own: int, less: int, much: int) -> int:
            return own + times * (much - less)

        names = {*self.operations, *two.operations}
        return StageCost(
            launches=more(self.launches, one.launches, two.launches),
            moved_bytes=more(self.moved_bytes, one.moved_bytes, two.moved_bytes),
            flop=more(self.flop, one.flop, two.flop),
            peak_bytes=more(self.peak_bytes, one.peak_bytes, two.peak_bytes),
            waits=more(self.waits, one.waits, two.waits),
            operations=Counter(
                {
                    name: more(self.operations[name], one.operations[name], two.operations[name])
                    for name in names
                }
            ),
        )


class CostCounter(TorchDispatchMode):
    """Counts while it is entered, inside `fake_cuda`.

    Attributes:
        live_bytes: allocated on the device now.
        pool_bytes: the most that recorded functions have allocated at once; they keep it.
        problems: what a GPU could not do, or only by waiting, each once, with its place.
    """

    def __init__(self, device: FakeCuda) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # torch has no types here
        self._device = device
        self._stage = StageCost()
        self._live: dict[int, object] = {}
        self._peak_bytes = self._pool_live_bytes = 0
        self._is_recording = False
        self.live_bytes = self.pool_bytes = 0
        self.problems: list[str] = []

    @contextmanager
    def stage(self) -> Iterator[StageCost]:
        """Count what the block costs; stages do not nest."""
        cost = self._stage = StageCost()
        base_bytes = self._peak_bytes = self.live_bytes
        waits = len(self._device.waits)
        yield cost
        cost.peak_bytes = self._peak_bytes - max(base_bytes, self.live_bytes)
        cost.waits = len(self._device.waits) - waits
        self._stage = StageCost()

    @contextmanager
    def recording(self) -> Iterator[StageCost]:
        """Inside, a function is recorded: nothing of the host may take part; yields its cost."""
        outer, cost = self._stage, StageCost()
        self._stage, self._is_recording = cost, True
        try:
            yield cost
        finally:
            self._stage, self._is_recording = outer, False

    def add(self, cost: StageCost) -> None:
        """A recorded function of this cost is replayed."""
        self._stage.launches += cost.launches
        self._stage.moved_bytes += cost.moved_bytes
        self._stage.flop += cost.flop
        self._stage.operations += cost.operations

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        name: str = func.overloadpacket.__name__
        if name not in _WHOLE and _is_composite(func):
            with self:
                return func.decompose(*args, **kwargs)
        out = func(*args, **kwargs)
        inputs = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        outputs = [leaf for leaf in tree_leaves(out) if isinstance(leaf, Tensor)]
        for tensor in outputs:
            self._track(tensor)
        is_work = func.namespace != "prim" and not func.is_view and name not in _NO_WORK
        if is_work:
            self._check(name, args, kwargs, inputs, outputs)
            if any(tensor.is_cuda for tensor in (*inputs, *outputs)):
                self._count(func, name, args, kwargs, out, inputs, outputs)
        return out

    # ---- cost

    def _count(
        self,
        func: Any,
        name: str,
        args: Any,
        kwargs: dict[str, Any],
        out: Any,
        inputs: list[Tensor],
        outputs: list[Tensor],
    ) -> None:
        stage = self._stage
        stage.launches += 1
        stage.operations[name] += 1
        stage.moved_bytes += _moved_bytes(name, inputs, outputs)
        stage.flop += _flop(func, name, args, kwargs, out, inputs, outputs)

    def _track(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        key, size = storage._cdata, storage.nbytes()
        if not tensor.is_cuda or key in self._live:
            return
        in_pool = self._is_recording

        def gone(_: object) -> None:
            del self._live[key]
            self._resize(-size, in_pool=in_pool)

        self._live[key] = weakref.ref(storage, gone)
        self._resize(size, in_pool=in_pool)

    def _resize(self, by_bytes: int, *, in_pool: bool) -> None:
        if in_pool:
            self._pool_live_bytes += by_bytes
            self.pool_bytes = max(self.pool_bytes, self._pool_live_bytes)
        else:
            self.live_bytes += by_bytes
            self._peak_bytes = max(self._peak_bytes, self.live_bytes)

    # ---- what is wrong

    def _check(
        self,
        name: str,
        args: Any,
        kwargs: dict[str, Any],
        inputs: list[Tensor],
        outputs: list[Tensor],
    ) -> None:
        of_host = [tensor for tensor in inputs if tensor.device.type == "cpu"]
        on_device = any(tensor.is_cuda for tensor in (*inputs, *outputs))
        if self._is_recording and (of_host or not on_device):
            self._report(f"{name} of the host in a recorded function")
        elif of_host and on_device:
            if name not in ("_to_copy", "copy_"):
                self._report(f"{name} of tensors of the host and of the device")
            elif not self._is_asynchronous(args, kwargs, of_host):
                self._wait(f"{name} of pageable memory")
        elif name in ("_to_copy", "copy_") and any(x.device.type == "cpu" for x in outputs):
            self._wait(f"{name} to the host")
        large = max((x.numel() for x in outputs if x.dtype is torch.float64), default=0)
        if on_device and large > _EXACT_NUMBERS:
            self._report(f"{name} of {large} numbers in float64")

    def _is_asynchronous(self, args: Any, kwargs: dict[str, Any], of_host: list[Tensor]) -> bool:
        asked = kwargs.get("non_blocking", len(args) > 2 and args[2])
        return bool(asked) and all(self._device.is_pinned(tensor) for tensor in of_host)

    def _wait(self, reason: str) -> None:
        self._device.waits.append(f"{reason} ({_place()})")

    def _report(self, problem: str) -> None:
        placed = f"{problem} ({_place()})"
        if placed not in self.problems:
            self.problems.append(placed)


def _is_composite(func: Any) -> bool:
    return func.namespace == "aten" and torch._C._dispatch_has_kernel_for_dispatch_key(
        func.name(), torch._C.DispatchKey.CompositeImplicitAutograd
    )


def _place() -> str:
    """File and line of the engine that asked for the operation."""
    frame = sys._getframe(2)
    while frame.f_back is not None:
        path = frame.f_code.co_filename
        if "slipstream_engine" in path and "slipstream_engine/account" not in path:
            return f"{path.rpartition('slipstream_engine/')[2]}:{frame.f_lineno}"
        frame = frame.f_back
    return "outside the engine"


def _moved_bytes(name: str, inputs: list[Tensor], outputs: list[Tensor]) -> int:
    if name in ("index_put_", "_index_put_impl_"):
        return 2 * inputs[-1].nbytes  # only the rows that are written, and their source
    if name in ("index", "index_select", "gather", "embedding"):
        return 2 * sum(map(_bytes, outputs))  # only the rows that are read
    fresh = [x for x in outputs if all(x is not given for given in inputs)]
    written = sum(map(_bytes, outputs)) if name.endswith("_") else sum(map(_bytes, fresh))
    read = inputs[1:] if name in ("copy_", "fill_", "zero_") else inputs
    return sum(map(_bytes, read)) + written


def _bytes(tensor: Tensor) -> int:
    """Of a tensor's own numbers: those that it only repeats are read once."""
    if not tensor.is_cuda:
        return 0
    numbers = 1
    for size, stride in zip(tensor.shape, tensor.stride(), strict=True):
        numbers *= size if stride else 1
    return numbers * tensor.element_size()


def _flop(
    func: Any,
    name: str,
    args: Any,
    kwargs: dict[str, Any],
    out: Any,
    inputs: list[Tensor],
    outputs: list[Tensor],
) -> int:
    if name == "linear":
        return 2 * inputs[0].numel() * inputs[1].shape[0]
    if name in ("conv2d", "conv3d"):
        return 2 * outputs[0].numel() * (inputs[1].numel() // inputs[1].shape[0])
    if name == "scaled_dot_product_attention":
        batch, heads, queries, width = inputs[0].shape
        return 4 * batch * heads * queries * inputs[1].shape[2] * width
    formula = flop_registry.get(func.overloadpacket)
    return 0 if formula is None else int(formula(*args, **kwargs, out_val=out))

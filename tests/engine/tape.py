"""A CUDA graph's stand-in on the CPU: it repeats recorded calls on the same memory.

It has the properties that make graphs hard to use. Recording does not change memory. Replaying
runs none of our Python: numbers that the host knew while recording stay as they were, and a tensor
that was replaced by another one later is still read at its old address.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from slipstream_engine.diffusion.cuda_graphs import Recording
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


@dataclass(frozen=True, kw_only=True)
class _Call:
    function: Any
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    fresh: tuple[int, ...]  # which of the results have memory of their own
    results: tuple[Any, ...]


class Tape(TorchDispatchMode):
    """A `Graph` of `diffusion/cuda_graphs.py`; it records every call while it is entered."""

    HOST_READS = ("_local_scalar_dense", "nonzero", "masked_select", "is_nonzero", "equal")

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # torch has no types here
        self._calls: list[_Call] = []
        self._overwritten: list[tuple[Tensor, Tensor]] = []

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        name = func.overloadpacket.__name__
        if name in self.HOST_READS:
            raise RuntimeError(f"{func} cannot be recorded: the host reads a number")
        for argument, value in zip(func._schema.arguments, args, strict=False):
            self._record_write(argument, value)
        for argument in func._schema.arguments:
            self._record_write(argument, kwargs.get(argument.name))
        result = func(*args, **kwargs)
        results = tuple(tree_leaves(result))
        inputs = {_place(leaf) for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)}
        fresh = tuple(
            number
            for number, leaf in enumerate(results)
            if isinstance(leaf, Tensor) and _place(leaf) not in inputs
        )
        self._calls.append(
            _Call(function=func, args=args, kwargs=kwargs, fresh=fresh, results=results)
        )
        return result

    def _record_write(self, argument: Any, value: Any) -> None:
        if argument.alias_info is not None and argument.alias_info.is_write:
            for leaf in tree_leaves(value):
                if isinstance(leaf, Tensor):
                    self._overwritten.append((leaf, leaf.clone()))

    def undo(self) -> None:
        """Restore the memory that recording has overwritten."""
        for tensor, before in reversed(self._overwritten):
            tensor.copy_(before)
        self._overwritten.clear()

    def replay(self) -> None:
        for call in self._calls:
            again = tuple(tree_leaves(call.function(*call.args, **call.kwargs)))
            for number in call.fresh:
                call.results[number].copy_(again[number])


def _place(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr()


def record(function: Callable[[], Tensor]) -> Recording:
    """A `Recorder` of `diffusion/cuda_graphs.py`."""
    tape = Tape()
    try:
        with tape:
            out = function()
    finally:
        tape.undo()
    return Recording(graph=tape, out=out)

"""One switch for what makes a chunk's many small kernels cheaper; eager wherever it cannot be.

CUDA graphs: the codec's two directions and each denoising step, the noise before it included, are
recorded once for a lane and replayed for every stream on it; passes that streams share, once for a
number of chunks. A graph knows addresses only. So whatever a recorded function reads or writes
beside its inputs stays in its place, whoever has the lane: cache rows, codec tails, the prompt's
keys and values.

Inductor: the transformer's block is compiled for the first layer, then for any other, with any
number of cached frames; warming up meets every shape that a stream will.
"""

import logging
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from slipstream_engine.config import Compilation
from slipstream_engine.models.dit.transformer import CausalDit, call_block

logger = logging.getLogger(__name__)


class Graph(Protocol):
    def replay(self) -> None:
        """Do the recorded work again, on the same memory."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Recording:
    """A recorded function and where its result lies after every replay."""

    graph: Graph
    out: Tensor


# remembers what a function does without doing it
Recorder = Callable[[Callable[[], Tensor]], Recording]


class CudaRecorder:
    """Records CUDA graphs. They share one pool of memory, because no two ever run at once.

    Raises:
        RuntimeError: if the device is no GPU of that kind.
    """

    def __init__(self, device: torch.device) -> None:
        if device.type != "cuda":
            raise RuntimeError(f"device is {device}, CUDA graphs need cuda")
        self._pool = torch.cuda.graph_pool_handle()

    def __call__(self, function: Callable[[], Tensor]) -> Recording:
        graph = torch.cuda.CUDAGraph()
        # a prompt may be encoded meanwhile, by another thread
        with torch.cuda.graph(graph, pool=self._pool, capture_error_mode="thread_local"):
            out = function()
        return Recording(graph=graph, out=out)


class Compiler:
    """What the switch means on this device; one for a pipeline.

    Args:
        recorder: makes graphs where they are wanted; None for CUDA's.
    """

    def __init__(
        self,
        compilation: Compilation,
        device: torch.device,
        model: CausalDit,
        *,
        recorder: Recorder | None = None,
    ) -> None:
        self.recorder: Recorder | None = None
        self.note = ""
        self._model = model
        self._wanted = compilation
        try:
            if compilation is Compilation.INDUCTOR:
                # whole or not at all: a block that falls apart into pieces would only look compiled
                model.call_block = torch.compile(call_block, fullgraph=True)
                self.note = "blocks compiled by inductor"
            elif compilation is Compilation.GRAPH:
                self.recorder = recorder or CudaRecorder(device)
                self.note = "CUDA graphs"
        except Exception as error:  # a machine that cannot compile can still serve
            self.give_up(error)

    @property
    def is_active(self) -> bool:
        """Whether anything else than eager code runs."""
        return self.recorder is not None or self._model.call_block is not call_block

    def give_up(self, error: Exception) -> None:
        """Go on eagerly, and say why."""
        self.recorder = None
        self._model.call_block = call_block
        reason = str(error).strip().partition("\n")[0]
        self.note = f"eager, not {self._wanted}: {type(error).__name__}: {reason}"
        logger.warning("the model runs %s", self.note)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Entry:
    inputs: tuple[Tensor, ...]
    recording: Recording


class GraphRunner:
    """Runs functions on one memory: once as they are, then from a graph of them.

    Args:
        compiler: says whether graphs are made; None for never.
    """

    def __init__(self, compiler: Compiler | None = None) -> None:
        self._compiler = compiler
        self._entries: dict[Hashable, _Entry | None] = {}

    @property
    def records(self) -> bool:
        """Whether functions run from graphs, once they have run as they are."""
        return self._compiler is not None and self._compiler.recorder is not None

    @property
    def recorded(self) -> set[Hashable]:
        """The keys that run from a graph."""
        return {key for key, entry in self._entries.items() if entry is not None}

    def run(self, key: Hashable, function: Callable[..., Tensor], *inputs: Tensor) -> Tensor:
        """`function(*inputs)`.

        Args:
            key: names the function, all the memory it touches, and every size and branch that it
                takes from the host; two calls of one key differ in the numbers in `inputs` only.

        Returns:
            The result, which is the caller's own.
        """
        compiler = self._compiler
        if compiler is None or compiler.recorder is None:
            return function(*inputs)
        if key not in self._entries:
            self._entries[key] = None  # what is made on the first use is made now
            return function(*inputs)
        entry = self._entries[key] or self._record(compiler, key, function, inputs)
        if entry is None:
            return function(*inputs)
        for kept, given in zip(entry.inputs, inputs, strict=True):
            kept.copy_(given)
        entry.recording.graph.replay()
        return entry.recording.out.clone()

    def _record(
        self,
        compiler: Compiler,
        key: Hashable,
        function: Callable[..., Tensor],
        inputs: tuple[Tensor, ...],
    ) -> _Entry | None:
        assert compiler.recorder is not None, "asked for before"
        kept = tuple(given.clone() for given in inputs)
        try:
            recording = compiler.recorder(lambda: function(*kept))
        except Exception as error:  # whatever a driver has against it, the stream goes on
            logger.exception("%s cannot be recorded", key)
            compiler.give_up(error)
            return None
        entry = self._entries[key] = _Entry(inputs=kept, recording=recording)
        return entry

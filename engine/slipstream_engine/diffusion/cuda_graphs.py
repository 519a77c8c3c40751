"""CUDA graphs, which make a chunk's many small kernels cheaper; where they do not work, the model
runs eagerly.

The codec's encoder and decoder and each denoising step, with the noise before it, are
recorded once for a lane and replayed for every stream on it. A pass that streams share is recorded
once for each number of chunks. A graph knows addresses only, so all that a recorded function reads
or writes beside its inputs keeps its address from one stream of the lane to the next: cache rows,
codec tails, the prompt's keys and values.
"""

import logging
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from slipstream_engine.config import Compilation

logger = logging.getLogger(__name__)


class Graph(Protocol):
    def replay(self) -> None:
        """Run the recorded kernels again, on the same memory."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Recording:
    """A recorded function.

    Args:
        out: holds the result after every replay.
    """

    graph: Graph
    out: Tensor


# records what a function does; the function has no effect on memory while it is recorded
Recorder = Callable[[Callable[[], Tensor]], Recording]


class CudaRecorder:
    """Records CUDA graphs. They share one pool of memory, because no two run at the same time.

    Raises:
        RuntimeError: if the device is not a CUDA device.
    """

    def __init__(self, device: torch.device) -> None:
        if device.type != "cuda":
            raise RuntimeError(f"device is {device}, CUDA graphs need cuda")
        self._device = device
        self._pool = torch.cuda.graph_pool_handle()

    def __call__(self, function: Callable[[], Tensor]) -> Recording:
        graph = torch.cuda.CUDAGraph()
        with (
            torch.cuda.device(self._device),  # a capture is of the current device's work only
            # thread_local: another thread may encode a prompt at the same time
            torch.cuda.graph(graph, pool=self._pool, capture_error_mode="thread_local"),
        ):
            out = function()
        return Recording(graph=graph, out=out)


class GraphPolicy:
    """What a `Compilation` setting means on this device; each pipeline has one.

    Args:
        recorder: records graphs where the setting says so; None for CUDA's.

    Attributes:
        recorder: None where no graphs are recorded.
    """

    def __init__(
        self,
        compilation: Compilation,
        device: torch.device,
        *,
        recorder: Recorder | None = None,
    ) -> None:
        self.recorder: Recorder | None = None
        self._note = ""
        self._refused: dict[str, str] = {}  # what runs eagerly beside graphs, and why
        self._compilation = compilation
        if compilation is Compilation.NONE:
            return
        try:
            self.recorder = recorder or CudaRecorder(device)
            self._note = "CUDA graphs"
        except Exception as error:  # a machine that cannot record can still serve
            self.give_up(error)

    def give_up(self, error: Exception) -> None:
        """Run eagerly from now on; the reason goes to the note and the log."""
        self.recorder = None
        self._refused.clear()
        self._note = f"eager, not {self._compilation}: {_reason(error)}"
        logger.warning("the model runs %s", self._note)

    def refuse(self, key: Hashable, error: Exception) -> None:
        """Run one function eagerly, on every lane; the reason goes to the note and the log."""
        name = " ".join(map(str, key)) if isinstance(key, tuple) else str(key)
        if name not in self._refused:
            self._refused[name] = _reason(error)
            logger.warning("%s runs eagerly, no graph: %s", name, self._refused[name])

    @property
    def note(self) -> str:
        """One line on what is recorded, or why nothing or not all of it is, for people."""
        if not self._refused:
            return self._note
        names, reasons = ", ".join(self._refused), "; ".join(dict.fromkeys(self._refused.values()))
        return f"{self._note}, not of {names}: {reasons}"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Entry:
    inputs: tuple[Tensor, ...]
    recording: Recording


def _reason(error: Exception) -> str:
    first_line = str(error).strip().partition("\n")[0]
    return f"{type(error).__name__}: {first_line}"


class GraphRunner:
    """Runs functions on one piece of memory: eagerly at first, later from a graph of them.

    The first call of a function is eager, the second records its graph, which all later calls
    replay. One that cannot be recorded stays eager; the others do not mind.

    Args:
        policy: decides whether graphs are recorded; None for never.
    """

    def __init__(self, policy: GraphPolicy | None = None) -> None:
        self._policy = policy
        self._entries: dict[Hashable, _Entry | None] = {}
        self._eager: set[Hashable] = set()

    @property
    def records(self) -> bool:
        """Whether functions are recorded after their first call."""
        return self._policy is not None and self._policy.recorder is not None

    @property
    def recorded(self) -> set[Hashable]:
        """The keys that run from a graph."""
        return {key for key, entry in self._entries.items() if entry is not None}

    def run(self, key: Hashable, function: Callable[..., Tensor], *inputs: Tensor) -> Tensor:
        """`function(*inputs)`.

        Args:
            key: identifies the function, the memory it touches, and every size and branch that
                the host decides; two calls of one key differ in the numbers in `inputs` only.

        Returns:
            The result; it is not overwritten by later calls.
        """
        policy = self._policy
        if policy is None or policy.recorder is None or key in self._eager:
            return function(*inputs)
        if key not in self._entries:
            self._entries[key] = None  # the eager call allocates what a first use allocates
            return function(*inputs)
        entry = self._entries[key] or self._record(policy, key, function, inputs)
        if entry is None:
            return function(*inputs)
        for static, value in zip(entry.inputs, inputs, strict=True):
            static.copy_(value)
        entry.recording.graph.replay()
        return entry.recording.out.clone()

    def _record(
        self,
        policy: GraphPolicy,
        key: Hashable,
        function: Callable[..., Tensor],
        inputs: tuple[Tensor, ...],
    ) -> _Entry | None:
        assert policy.recorder is not None, "the caller has checked it"
        static_inputs = tuple(value.clone() for value in inputs)
        try:
            recording = policy.recorder(lambda: function(*static_inputs))
        except Exception as error:  # whatever the driver raises, the stream goes on
            logger.debug("%s cannot be recorded", key, exc_info=True)
            policy.refuse(key, error)
            self._eager.add(key)
            return None
        entry = self._entries[key] = _Entry(inputs=static_inputs, recording=recording)
        return entry

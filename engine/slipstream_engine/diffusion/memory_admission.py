"""Whether the device has memory for one more stream."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from slipstream_engine.device.memory import DeviceMemory
from slipstream_engine.errors import AdmissionError


class MemoryAdmission:
    """Refuses a stream whose chunks would run out of memory later on.

    Args:
        memory: of the device; None where it cannot be known, and nothing is refused.
    """

    def __init__(self, memory: DeviceMemory | None) -> None:
        self._memory = memory
        self._stream_bytes = 0  # the most that one stream has taken while warming up

    @contextmanager
    def measuring(self) -> Iterator[None]:
        """Measure what the block allocates: it opens one stream and warms it up.

        For the first stream that includes what is allocated once for all streams.
        """
        before = self._memory.used_bytes() if self._memory else 0
        yield
        taken = self._memory.used_bytes() - before if self._memory else 0
        self._stream_bytes = max(self._stream_bytes, taken)

    def check(self) -> None:
        """Raise if less memory is free than a stream takes.

        Raises:
            AdmissionError: with both numbers.
        """
        if self._memory is None:
            return
        free = self._memory.free_bytes()
        if free < self._stream_bytes:
            raise AdmissionError(
                f"a stream takes {self._stream_bytes / 1e6:.0f} MB of memory, {free / 1e6:.0f} MB "
                "are free; wait until a viewer leaves, or ask for a smaller size"
            )


def is_out_of_memory(error: Exception) -> bool:
    """Whether torch found no memory; on a CPU its error has no class of its own."""
    known = isinstance(error, torch.OutOfMemoryError | MemoryError)
    return known or "allocate memory" in str(error)

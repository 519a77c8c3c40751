"""Runs a pass that streams share in smaller ones where the device has no memory for it."""

import logging
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from slipstream_engine.diffusion.batched_step import BatchedDenoiser
from slipstream_engine.diffusion.chunk import LatentChunk
from slipstream_engine.diffusion.memory_admission import is_out_of_memory

logger = logging.getLogger(__name__)

CodecStateT = TypeVar("CodecStateT")


class PassSplitter(Generic[CodecStateT]):
    """Halves a pass until it fits; no stream ends because another one shared its pass.

    Args:
        denoiser: runs passes.
        free_memory: gives back what the allocator keeps in reserve.

    Attributes:
        largest: how many chunks a pass may have; None while none was too large.
    """

    def __init__(
        self, denoiser: BatchedDenoiser[CodecStateT], free_memory: Callable[[], None]
    ) -> None:
        self._denoiser = denoiser
        self._free_memory = free_memory
        self.largest: int | None = None

    def run(self, chunks: Sequence[LatentChunk[CodecStateT]]) -> None:
        """Run the next step of each chunk, in one pass if possible.

        Raises:
            Exception: whatever a pass raises, but for a lack of memory for several chunks.
        """
        if self.largest is None or len(chunks) <= self.largest:
            if self._has_run(chunks):
                return
            self.largest = len(chunks) // 2
            logger.warning("no memory for a pass of %s, now at most %s", len(chunks), self.largest)
            self._free_memory()
        middle = len(chunks) // 2
        self.run(chunks[:middle])
        self.run(chunks[middle:])

    def _has_run(self, chunks: Sequence[LatentChunk[CodecStateT]]) -> bool:
        try:
            self._denoiser.run(chunks)
        except (RuntimeError, MemoryError) as error:
            if len(chunks) == 1 or not is_out_of_memory(error):
                raise
            return False  # the error, and the tensors of the frames it was raised in, end here
        return True

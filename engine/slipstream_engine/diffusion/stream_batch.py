"""The paper's stream batch: step i of a chunk in one pass with step i + 1 of the one before it.

Row i of the cache only ever holds what step i wrote, so the numbers are those of
`denoise_in_sequence`, computed in another order. A chunk of n steps comes out n - 1 chunks late,
and each pass runs n micro-steps.
"""

from collections import deque
from typing import Generic, TypeVar

from slipstream_engine.diffusion.batched_step import BatchedDenoiser
from slipstream_engine.diffusion.chunk import LatentChunk

CodecStateT = TypeVar("CodecStateT")


class StreamBatch(Generic[CodecStateT]):
    """One stream's chunks between encode and decode; all must have the same number of steps."""

    def __init__(self, denoiser: BatchedDenoiser[CodecStateT]) -> None:
        self._denoiser = denoiser
        self._under_way: deque[LatentChunk[CodecStateT]] = deque()  # the oldest first

    def denoise(self, chunk: LatentChunk[CodecStateT]) -> LatentChunk[CodecStateT] | None:
        """Run the next step of every chunk in one pass, the first step of this one.

        Returns:
            The chunk that has run its last step, if there is one.

        Raises:
            ValueError: if the stream has another number of steps than its chunks under way.
        """
        if chunk.is_first:
            self._under_way.clear()
            return denoise_in_sequence(self._denoiser, chunk)
        steps = chunk.steps
        if any(other.steps != steps for other in self._under_way):
            raise ValueError(
                f"{steps} steps are asked for while chunks of another number are under way, "
                "reset the stream first"
            )
        self._under_way.append(chunk)
        self._denoiser.run(self._under_way)
        return self._under_way.popleft() if self._under_way[0].is_clean else None


def denoise_in_sequence(
    denoiser: BatchedDenoiser[CodecStateT], chunk: LatentChunk[CodecStateT]
) -> LatentChunk[CodecStateT]:
    """Run all steps of a chunk, one after the other."""
    while not chunk.is_clean:
        denoiser.run([chunk])
    return chunk

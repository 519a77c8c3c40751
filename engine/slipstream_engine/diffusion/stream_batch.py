"""The paper's stream batch: step i of a chunk in one pass with step i + 1 of the one before it.

Row i of the cache only ever sees what step i made, so the numbers are those of a chunk's steps run
at once (`diffusion/chunk.py`), in another order: a chunk is ready as many chunks late as it has
steps but one, and each pass does as much work as a chunk has steps.
"""

from collections import deque
from typing import Generic, TypeVar

from slipstream_engine.diffusion.batched_step import BatchedDenoiser
from slipstream_engine.diffusion.chunk import LatentChunk

CodecStateT = TypeVar("CodecStateT")


class StreamBatch(Generic[CodecStateT]):
    """One stream's chunks under way; the number of steps must stay what it is."""

    def __init__(self, joint: BatchedDenoiser[CodecStateT]) -> None:
        self._joint = joint
        self._under_way: deque[LatentChunk[CodecStateT]] = deque()  # the oldest first

    def denoise(self, chunk: LatentChunk[CodecStateT]) -> LatentChunk[CodecStateT] | None:
        """Move all chunks one step on, this one its first.

        Returns:
            The chunk whose last step this was, if there is one.

        Raises:
            ValueError: if the stream has another number of steps than its chunks under way.
        """
        if chunk.is_first:
            self._under_way.clear()
            return denoise_in_sequence(self._joint, chunk)
        steps = len(chunk.timesteps_I)
        if any(len(other.timesteps_I) != steps for other in self._under_way):
            raise ValueError(
                f"{steps} steps are asked for while chunks of another number are under way, "
                "reset the stream first"
            )
        self._under_way.append(chunk)
        self._joint.run(self._under_way)
        return self._under_way.popleft() if self._under_way[0].is_clean else None


def denoise_in_sequence(
    joint: BatchedDenoiser[CodecStateT], chunk: LatentChunk[CodecStateT]
) -> LatentChunk[CodecStateT]:
    """All steps of a chunk, one after the other."""
    while not chunk.is_clean:
        joint.run([chunk])
    return chunk

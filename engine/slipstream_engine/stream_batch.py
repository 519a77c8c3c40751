"""The paper's stream batch: step i of a chunk in one pass with step i + 1 of the one before it.

Row i of the cache only ever sees what step i made, so the numbers are those of a chunk's steps run
at once (`chunk.py`), in another order: a chunk is ready as many chunks late as it has steps but
one, and each pass does as much work as a chunk has steps.

F latent frames, C channels, H W size, I steps, B samples.
"""

from dataclasses import dataclass
from typing import Generic, TypeVar

import torch
from torch import Tensor

from slipstream_engine.chunk import ChunkMaker, NoisyChunk
from slipstream_engine.denoise import denoise_at, renoise
from slipstream_engine.span import Span, place, span
from slipstream_engine.state import StreamState

CodecStateT = TypeVar("CodecStateT")


@dataclass(slots=True, kw_only=True, eq=False)
class _UnderWay:
    """A chunk between two of its steps.

    Args:
        x_FCHW: what its next step is fed.
        timesteps_I: of all its steps.
    """

    number: int
    here: Span
    x_FCHW: Tensor
    timesteps_I: Tensor


class StreamBatch(Generic[CodecStateT]):
    """One stream's chunks under way; the number of steps must stay what it is."""

    def __init__(self, maker: ChunkMaker[CodecStateT]) -> None:
        self._maker = maker
        self._under_way: list[_UnderWay] = []  # the newest first: number i is at its step i

    def denoise(self, chunk: NoisyChunk, state: StreamState[CodecStateT]) -> Tensor | None:
        """Move all chunks one step on, this one its first.

        Returns:
            Clean latents `[F, C, H, W]` of the chunk whose last step this was, if there is one.

        Raises:
            ValueError: if the stream has another number of steps than its chunks under way.
        """
        if state.past_frames == 0:
            self._under_way.clear()
            return self._maker.denoise(chunk, state)
        steps = len(chunk.timesteps_I)
        if any(len(other.timesteps_I) != steps for other in self._under_way):
            raise ValueError(
                f"{steps} steps are asked for while chunks of another number are under way, "
                "reset the stream first"
            )
        self._under_way.insert(0, self._begin(chunk, state))
        clean_BFCHW = self._pass(state)
        done = self._under_way.pop() if len(self._under_way) == steps else None
        for step, other in enumerate(self._under_way):
            noise_FCHW = self._maker.noise(other.x_FCHW, state, chunk=other.number, step=step + 1)
            other.x_FCHW = renoise(
                self._maker.schedule,
                clean_BFCHW[step, None],
                noise_FCHW[None],
                other.timesteps_I[step + 1, None],
            )[0]
        return None if done is None else clean_BFCHW[-1]

    def _begin(self, chunk: NoisyChunk, state: StreamState[CodecStateT]) -> _UnderWay:
        frames = chunk.x_FCHW.shape[0]
        begun = _UnderWay(
            number=state.chunk,
            here=span(self._maker.preset.cache, past_frames=state.past_frames, frames=frames),
            x_FCHW=chunk.x_FCHW,
            timesteps_I=chunk.timesteps_I,
        )
        state.past_frames += frames
        state.chunk += 1
        return begun

    def _pass(self, state: StreamState[CodecStateT]) -> Tensor:
        """One step of every chunk under way, each in its own cache row."""
        placement = place([other.here for other in self._under_way], state.steps.device)
        return denoise_at(
            self._maker.model,
            self._maker.schedule,
            torch.stack([other.x_FCHW for other in self._under_way]),
            torch.stack([c.timesteps_I[step] for step, c in enumerate(self._under_way)]),
            placement,
            state.cache.rows(0, len(self._under_way)),
            state.conditioning,
        )

"""One chunk of one stream: encode, noise, every denoising step, decode.

The steps run at once, one after the other, each with the cache row of its own. That is the
reference's stream batch in another order (`spec/04` section 3): row i only ever sees what step i
made.

T frames, F latent frames, C channels, H W size, I steps.
"""

from dataclasses import dataclass, replace
from typing import Generic, TypeVar

import torch
from torch import Tensor

from slipstream_engine.codec import Codec
from slipstream_engine.config import Preset
from slipstream_engine.denoise import denoise_at, renoise
from slipstream_engine.models.dit import CausalDit
from slipstream_engine.motion import motion_level, next_noise_scale
from slipstream_engine.noise import chunk_noise
from slipstream_engine.schedule import Schedule, mix_noise
from slipstream_engine.span import Placement, place, span
from slipstream_engine.state import StreamState

CodecStateT = TypeVar("CodecStateT")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class NoisyChunk:
    """A chunk ready for its first step.

    Args:
        x_FCHW: noised latents.
        timesteps_I: one for each step, int64, on the device.
    """

    x_FCHW: Tensor
    timesteps_I: Tensor


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ChunkMaker(Generic[CodecStateT]):
    """The parts a chunk goes through; all that a stream carries lies in its `StreamState`.

    Call `encode`, `denoise`, `decode`, in this order, once a chunk.
    """

    preset: Preset
    model: CausalDit
    schedule: Schedule
    codec: Codec[CodecStateT]

    def encode(self, rgb_TCHW: Tensor, state: StreamState[CodecStateT]) -> NoisyChunk:
        """Pixels in [-1, 1], float32, to noised latents."""
        if state.prompts.advance():
            state.conditioning.take(self.model.condition(state.prompts.embedding_TE[None]))
        state.noise_scale = self._noise_scale(rgb_TCHW, state)
        state.last_frame_CHW = rgb_TCHW[-1]
        latents_FCHW = state.runner.run(
            ("encode", len(rgb_TCHW)),
            lambda rgb_TCHW: self.codec.encode(rgb_TCHW, state.codec),
            rgb_TCHW.to(self.model.dtype),
        )
        noise_FCHW = self.noise(latents_FCHW, state, chunk=state.chunk, step=0)
        return NoisyChunk(
            x_FCHW=mix_noise(latents_FCHW, noise_FCHW, state.noise_scale),
            timesteps_I=self._timesteps(state),
        )

    def denoise(self, chunk: NoisyChunk, state: StreamState[CodecStateT]) -> Tensor:
        """Noised latents to clean ones; moves the stream's cache on by a chunk."""
        frames = chunk.x_FCHW.shape[0]
        is_first = state.past_frames == 0
        here = span(self.preset.cache, past_frames=state.past_frames, frames=frames)
        placement = place([here], chunk.x_FCHW.device)
        x_BFCHW = chunk.x_FCHW[None]
        if not is_first:
            state.catch_up(len(chunk.timesteps_I))
        for step, timesteps_B in enumerate(chunk.timesteps_I.split(1)):
            if step:
                noise_FCHW = self.noise(chunk.x_FCHW, state, chunk=state.chunk, step=step)
                x_BFCHW = renoise(self.schedule, x_BFCHW, noise_FCHW[None], timesteps_B)
            row = 0 if is_first else step
            x_BFCHW = self._step(x_BFCHW, timesteps_B, placement, state, row=row)
        if is_first:
            # all rows begin with what the last step made of the first chunk
            state.live_rows = 1
            state.catch_up(state.cache.row_count)
        state.live_rows = len(chunk.timesteps_I)
        state.past_frames += frames
        state.chunk += 1
        return x_BFCHW[0]

    def decode(self, latents_FCHW: Tensor, state: StreamState[CodecStateT]) -> Tensor:
        """Clean latents to pixels, about [-1, 1]."""
        return state.runner.run(
            ("decode", len(latents_FCHW)),
            lambda latents_FCHW: self.codec.decode(latents_FCHW, state.codec),
            latents_FCHW,
        )

    def _step(
        self,
        x_BFCHW: Tensor,
        timesteps_B: Tensor,
        placement: Placement,
        state: StreamState[CodecStateT],
        *,
        row: int,
    ) -> Tensor:
        """One denoising step in its own cache row."""
        cache = state.cache.rows(row, row + 1)

        def step(x: Tensor, timesteps: Tensor, frames_BF: Tensor, slots_BF: Tensor) -> Tensor:
            at = replace(placement, frames_BF=frames_BF, slots_BF=slots_BF)
            return denoise_at(
                self.model, self.schedule, x, timesteps, at, cache, state.conditioning
            )

        inputs = (x_BFCHW, timesteps_B, placement.frames_BF, placement.slots_BF)
        is_full = placement.length == self.preset.cache.slots and x_BFCHW.shape[1] == 1
        if not is_full:  # each of these shapes comes only once
            return step(*inputs)
        return state.runner.run(("denoise", row), step, *inputs)

    def _noise_scale(self, rgb_TCHW: Tensor, state: StreamState[CodecStateT]) -> Tensor:
        base = torch.full_like(state.noise_scale, state.settings.noise_scale)
        if state.last_frame_CHW is None or not state.settings.noise_controller:
            return base
        motion = motion_level(rgb_TCHW, state.last_frame_CHW, self.preset.motion)
        scale = next_noise_scale(base, state.noise_scale, motion, self.preset.motion)
        return scale.clamp(*self.preset.schedule.noise_scale_range)

    def _timesteps(self, state: StreamState[CodecStateT]) -> Tensor:
        if state.past_frames == 0 and not self.preset.schedule.first_chunk_from_scale:
            return state.steps
        return self.schedule.timesteps(self.schedule.first_timestep(state.noise_scale), state.steps)

    def noise(
        self, like_FCHW: Tensor, state: StreamState[CodecStateT], *, chunk: int, step: int
    ) -> Tensor:
        """What goes into step `step` of chunk `chunk` of this stream."""
        return chunk_noise(
            self.preset.noise,
            like_FCHW.shape,
            seed=state.settings.seed,
            chunk=chunk,
            step=step,
            device=like_FCHW.device,
            dtype=like_FCHW.dtype,
        )

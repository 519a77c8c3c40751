"""One chunk of one stream: encode, noise, one denoising step after the other, decode.

A chunk takes with it, as it is encoded, whatever its later steps need of its stream. So the next
chunk of the stream may be encoded and follow one step behind, each step with the cache row of its
own: that is the reference's stream batch in any order (`spec/04` section 3), for row i only ever
sees what step i made. Not so the first chunk of an epoch and one with another number of steps:
these must be alone in their stream (`scheduling/queues.py` sees to it, their shapes differ).

T frames, F latent frames, C channels, H W size, I steps.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

import torch
from torch import Tensor

from slipstream_engine.codec.protocol import Codec
from slipstream_engine.config import CHUNK_FRAMES, CHUNK_LATENTS, Preset
from slipstream_engine.diffusion.denoise import denoise_at, renoise
from slipstream_engine.diffusion.flow_matching import FlowSchedule, mix_noise
from slipstream_engine.diffusion.noise import keyed_noise, step_key
from slipstream_engine.diffusion.noise_controller import motion_level, next_noise_scale
from slipstream_engine.diffusion.state import StreamState
from slipstream_engine.kv_cache.positions import (
    BatchPositions,
    CachePosition,
    position_of,
    to_device,
)
from slipstream_engine.models.dit.blocks import Conditioning
from slipstream_engine.models.dit.transformer import CausalDit

CodecStateT = TypeVar("CodecStateT")


@dataclass(slots=True, kw_only=True, eq=False)
class LatentChunk(Generic[CodecStateT]):
    """A chunk under way.

    Args:
        state: of its stream.
        number: in the stream, counting what was encoded.
        is_first: of its epoch; all its steps then use the first cache row.
        position, placement: where it stands in its cache rows, for the host and for the device.
        conditioning: of the prompts it is made with.
        timesteps_I: one for each step, int64, on the device.
        keys_I: of the noise that goes into each step, likewise.
        x_FCHW: noised latents, after each step the clean ones as far as they are known.
        steps_done: of its steps.
    """

    state: StreamState[CodecStateT]
    number: int
    is_first: bool
    position: CachePosition
    placement: BatchPositions
    conditioning: Conditioning
    timesteps_I: Tensor
    keys_I: Tensor
    x_FCHW: Tensor
    steps_done: int = 0

    @property
    def is_clean(self) -> bool:
        """Whether all steps are done."""
        return self.steps_done == len(self.timesteps_I)

    @property
    def row(self) -> int:
        """The cache row of its next step."""
        return 0 if self.is_first else self.steps_done

    @property
    def timestep_B(self) -> Tensor:
        """Of its next step, as a batch of one."""
        return self.timesteps_I[self.steps_done : self.steps_done + 1]

    @property
    def key_B(self) -> Tensor:
        """Of its next step's noise, as a batch of one."""
        return self.keys_I[self.steps_done : self.steps_done + 1]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ChunkMaker(Generic[CodecStateT]):
    """The parts a chunk goes through; all that a stream carries lies in its `StreamState`.

    Call `encode`, then `step` until the chunk is clean, then `decode`.
    """

    preset: Preset
    model: CausalDit
    schedule: FlowSchedule
    codec: Codec[CodecStateT]

    def encode(self, rgb_TCHW: Tensor, state: StreamState[CodecStateT]) -> LatentChunk[CodecStateT]:
        """Pixels in [-1, 1], float32, to noised latents; moves the stream on by a chunk."""
        if state.restarts:
            state.forget()
        if state.prompts.advance():
            state.conditioning = self.model.condition(state.prompts.embedding_TE[None])
        state.noise_scale = self._noise_scale(rgb_TCHW, state)
        state.last_frame_CHW = rgb_TCHW[-1]
        latents_FCHW = self._run_codec(
            "encode", self.codec.encode, rgb_TCHW.to(self.model.dtype), state
        )
        number = state.chunk
        keys_I = self._keys(latents_FCHW.device, state)
        noise_FCHW = self._noise(latents_FCHW, keys_I[:1])
        frames = latents_FCHW.shape[0]
        here = position_of(self.preset.cache, past_frames=state.past_frames, frames=frames)
        chunk = LatentChunk(
            state=state,
            number=number,
            is_first=state.past_frames == 0,
            position=here,
            placement=to_device([here], latents_FCHW.device),
            conditioning=state.conditioning,
            timesteps_I=self._timesteps(state),
            keys_I=keys_I,
            x_FCHW=mix_noise(latents_FCHW, noise_FCHW, state.noise_scale),
        )
        state.past_frames += frames
        state.chunk += 1
        return chunk

    def step(self, chunk: LatentChunk[CodecStateT]) -> None:
        """The chunk's next denoising step, in its own cache row."""
        self._begin(chunk)
        state, row, placement = chunk.state, chunk.row, chunk.placement
        is_noised, x_FCHW = chunk.steps_done > 0, chunk.x_FCHW
        cache = state.cache.rows(row, row + 1)
        conditioning = state.resident.hold(chunk.conditioning)

        def step(
            x: Tensor, timesteps: Tensor, key: Tensor, frames_BF: Tensor, slots_BF: Tensor
        ) -> Tensor:
            if is_noised:
                x = self._renoised(x, timesteps, key)
            at = replace(placement, frames_BF=frames_BF, slots_BF=slots_BF)
            return denoise_at(self.model, self.schedule, x, timesteps, at, cache, conditioning)

        inputs = (
            *(x_FCHW[None], chunk.timestep_B, chunk.key_B),
            *(placement.frames_BF, placement.slots_BF),
        )
        is_full = chunk.position.length == self.preset.cache.slots and not chunk.is_first
        if not is_full:  # each of these shapes comes only once
            clean_BFCHW = step(*inputs)
        else:
            clean_BFCHW = state.runner.run(("denoise", row), step, *inputs)
        self.take(chunk, clean_BFCHW[0])

    def feed(self, chunk: LatentChunk[CodecStateT]) -> Tensor:
        """What the chunk's next step is fed, `[F, C, H, W]`."""
        self._begin(chunk)
        if not chunk.steps_done:
            return chunk.x_FCHW
        return self._renoised(chunk.x_FCHW[None], chunk.timestep_B, chunk.key_B)[0]

    def _begin(self, chunk: LatentChunk[CodecStateT]) -> None:
        """Before a chunk's first step its rows must have a past."""
        if not chunk.steps_done and not chunk.is_first:
            chunk.state.catch_up(len(chunk.timesteps_I))

    def _renoised(self, clean_BFCHW: Tensor, timesteps_B: Tensor, key_B: Tensor) -> Tensor:
        """What a step after the first is fed, of a batch of one."""
        noise_FCHW = self._noise(clean_BFCHW[0], key_B)
        return renoise(self.schedule, clean_BFCHW, noise_FCHW[None], timesteps_B)

    def take(self, chunk: LatentChunk[CodecStateT], clean_FCHW: Tensor) -> None:
        """Note what the chunk's next step has made."""
        state = chunk.state
        chunk.x_FCHW = clean_FCHW
        chunk.steps_done += 1
        if not chunk.is_clean:
            return
        if chunk.is_first:
            # all rows begin with what the last step made of the first chunk
            state.live_rows = 1
            state.catch_up(state.cache.row_count)
        state.live_rows = len(chunk.timesteps_I)

    def decode(self, chunk: LatentChunk[CodecStateT]) -> Tensor:
        """A clean chunk to pixels, about [-1, 1]."""
        state = chunk.state
        return self._run_codec("decode", self.codec.decode, chunk.x_FCHW, state)

    def _run_codec(
        self,
        name: str,
        code: Callable[[Tensor, CodecStateT], Tensor],
        x: Tensor,
        state: StreamState[CodecStateT],
    ) -> Tensor:
        if len(x) not in (CHUNK_FRAMES, CHUNK_LATENTS):
            return code(x, state.codec)  # a stream's first chunk is like no other
        return state.runner.run((name, len(x)), lambda x: code(x, state.codec), x)

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

    def _keys(self, device: torch.device, state: StreamState[CodecStateT]) -> Tensor:
        """One for each step, sent to the device without waiting."""
        keys = [
            step_key(self.preset.noise, seed=state.settings.seed, chunk=state.chunk, step=step)
            for step in range(len(state.settings.step_list))
        ]
        return torch.tensor(keys, pin_memory=device.type == "cuda").to(device, non_blocking=True)

    def _noise(self, like_FCHW: Tensor, key_B: Tensor) -> Tensor:
        return keyed_noise(
            self.preset.noise,
            key_B,
            like_FCHW.shape,
            device=like_FCHW.device,
            dtype=like_FCHW.dtype,
        )

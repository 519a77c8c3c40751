"""One chunk of one stream: encode, noise, one denoising step after the other, decode.

When a chunk is encoded it takes along whatever its later steps need of its stream. So the next
chunk of the stream may be encoded and follow one step behind, each step on a cache row of its own:
that is the reference's stream batch in any order (`spec/04` section 3), for row i only ever holds
what step i wrote. Two kinds of chunk must be alone in their stream: the first of an epoch, and one
with another number of steps than the chunk before (`scheduling/queues.py` sees to it).

T frames, F latent frames, C channels, H W size, I steps.
"""

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field, replace
from typing import Generic, TypeVar

import torch
from torch import Tensor

from slipstream_engine.codec.protocol import Codec, GuidedCodec
from slipstream_engine.config import CHUNK_FRAMES, CHUNK_LATENTS, Preset
from slipstream_engine.diffusion.denoise import Part, denoise, renoise
from slipstream_engine.diffusion.flow_matching import FlowSchedule, mix_noise
from slipstream_engine.diffusion.noise import keyed_noise, step_key
from slipstream_engine.diffusion.noise_controller import motion_level, next_noise_scale
from slipstream_engine.diffusion.state import StreamState
from slipstream_engine.diffusion.stream_host import ChunkOrder
from slipstream_engine.kv_cache.positions import BatchPositions, CachePosition, to_device
from slipstream_engine.models.dit.blocks import Conditioning
from slipstream_engine.models.dit.transformer import CausalDit

CodecStateT = TypeVar("CodecStateT")


@dataclass(slots=True, kw_only=True, eq=False)
class LatentChunk(Generic[CodecStateT]):
    """A chunk between encode and decode.

    Args:
        state: of its stream.
        is_first: of its epoch; all its steps then use the first cache row.
        is_steady: its cache rows are full, so every later chunk has its shapes.
        position: in its cache rows; `positions` is the same on the device, as a batch of one.
        conditioning: of its prompts.
        steps: how many it has.
        keys_I: of the noise that goes into each step, on the device.
        timesteps_I: one for each step, int64, on the device.
        x_FCHW: the noised latents; after each step the estimate of the clean ones.
        camera_TCHW: the frames it was encoded from; None where the decoder does not see them.
        steps_done: how many of its steps have run.
    """

    state: StreamState[CodecStateT]
    is_first: bool
    is_steady: bool
    position: CachePosition
    positions: BatchPositions
    conditioning: Conditioning
    steps: int
    keys_I: Tensor
    timesteps_I: Tensor = field(init=False)
    x_FCHW: Tensor = field(init=False)
    camera_TCHW: Tensor | None = None
    steps_done: int = 0

    @property
    def is_clean(self) -> bool:
        """Whether all steps have run."""
        return self.steps_done == self.steps

    @property
    def row(self) -> int:
        """The cache row of its next step."""
        return 0 if self.is_first else self.steps_done

    @property
    def timestep_B(self) -> Tensor:
        """The next step's timestep, as a batch of one."""
        return self.timesteps_I[self.steps_done : self.steps_done + 1]

    @property
    def key_B(self) -> Tensor:
        """The key of the next step's noise, as a batch of one."""
        return self.keys_I[self.steps_done : self.steps_done + 1]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ChunkMaker(Generic[CodecStateT]):
    """Turns frames into chunks and back; all that a stream carries is in its `StreamState`.

    Call `encode`, then `step` until the chunk is clean, then `decode`. Instead of `step`, a pass
    over several chunks calls `next_input`, denoises, and calls `record_output` for each.
    """

    preset: Preset
    model: CausalDit
    schedule: FlowSchedule
    codec: Codec[CodecStateT]

    def encode(
        self, order: ChunkOrder, rgb_TCHW: Tensor, state: StreamState[CodecStateT]
    ) -> LatentChunk[CodecStateT]:
        """Pixels in [-1, 1], float32, to noised latents; the stream's state moves on by a chunk."""
        chunk = self.begin(order, state)
        state.noise_scale = self._noise_scale(order, rgb_TCHW, state)
        state.last_frame_CHW = rgb_TCHW[-1]
        camera_TCHW = rgb_TCHW.to(self.model.dtype)
        latents_FCHW = self._run_codec("encode", self.codec.encode, camera_TCHW, state)
        noise_FCHW = self._noise(latents_FCHW, chunk.keys_I[:1])
        chunk.x_FCHW = mix_noise(latents_FCHW, noise_FCHW, state.noise_scale)
        chunk.timesteps_I = self._timesteps(order, state)
        self.keep_camera(chunk, rgb_TCHW)
        return chunk

    def begin(self, order: ChunkOrder, state: StreamState[CodecStateT]) -> LatentChunk[CodecStateT]:
        """A chunk whose latents and timesteps are not there yet."""
        if order.resets_cache:
            state.step_cache.reset()
        if order.prompt_TE is not None:
            state.conditioning = self.model.condition(order.prompt_TE[None])
        assert state.conditioning is not None, "a stream begins before its first chunk"
        device, position = state.noise_scale.device, order.position
        return LatentChunk(
            state=state,
            is_first=order.is_first,
            is_steady=not order.is_first and position.length == self.preset.cache.slots,
            position=position,
            positions=to_device([position], device),
            conditioning=state.conditioning,
            steps=len(order.settings.step_list),
            keys_I=self._keys(device, order),
        )

    def keep_camera(self, chunk: LatentChunk[CodecStateT], rgb_TCHW: Tensor) -> None:
        """Keep the frames that a chunk was encoded from, where the decoder sees them."""
        if isinstance(self.codec, GuidedCodec):
            chunk.camera_TCHW = rgb_TCHW.to(self.model.dtype)

    def step(self, chunk: LatentChunk[CodecStateT]) -> None:
        """Run the chunk's next denoising step by itself, on its own cache row."""
        self._prepare_cache(chunk)
        self.record_output(chunk, self.run_part(chunk, chunk.x_FCHW, chunk.row))

    def run_part(
        self,
        chunk: LatentChunk[CodecStateT],
        x_FCHW: Tensor,
        row: int,
        part: Part | None = None,
        tokens_FSC: Tensor | None = None,
    ) -> Tensor:
        """Run the chunk's next step, or a part of it, on a cache row of its stream.

        Args:
            x_FCHW: what the step starts from; for all of a step after the first, what the one
                before has estimated.
            part, tokens_FSC: see `denoise`.

        Returns:
            The clean latents; of a part that is not the last its tokens.
        """
        state, is_renoised = chunk.state, part is None and chunk.steps_done > 0
        cache = state.step_cache.row(row)
        conditioning = state.static_conditioning.load(chunk.conditioning)
        positions = chunk.positions

        def denoise_row(
            x_BFCHW: Tensor,
            timesteps_B: Tensor,
            key_B: Tensor,
            frames_BF: Tensor,
            slots_BF: Tensor,
            tokens_BFSC: Tensor | None = None,
        ) -> Tensor:
            if is_renoised:
                x_BFCHW = self._renoised(x_BFCHW, timesteps_B, key_B)
            return denoise(
                self.model,
                self.schedule,
                x_BFCHW,
                timesteps_B,
                replace(positions, frames_BF=frames_BF, slots_BF=slots_BF),
                cache,
                conditioning,
                part=part,
                tokens_BFSC=tokens_BFSC,
            )

        inputs = [
            *(x_FCHW[None], chunk.timestep_B, chunk.key_B),
            *(positions.frames_BF, positions.slots_BF),
        ]
        if tokens_FSC is not None:
            inputs.append(tokens_FSC[None])
        # while a cache fills, shapes come only once: no graph is worth its recording
        run = state.runner.run if chunk.is_steady else _run_eagerly
        key = ("denoise", row) if part is None else ("denoise", row, part)
        return run(key, denoise_row, *inputs)[0]

    def next_input(self, chunk: LatentChunk[CodecStateT]) -> Tensor:
        """The latents that the chunk's next step starts from, `[F, C, H, W]`."""
        self._prepare_cache(chunk)
        return self.noised(chunk, chunk.x_FCHW)

    def noised(self, chunk: LatentChunk[CodecStateT], x_FCHW: Tensor) -> Tensor:
        """The same, of the latents that the step before has left, whatever the cache holds."""
        if not chunk.steps_done:
            return x_FCHW
        return self._renoised(x_FCHW[None], chunk.timestep_B, chunk.key_B)[0]

    def record_output(self, chunk: LatentChunk[CodecStateT], clean_FCHW: Tensor) -> None:
        """Store the clean latents that the chunk's next step has estimated."""
        chunk.x_FCHW = clean_FCHW
        chunk.steps_done += 1
        if chunk.is_clean and chunk.is_first:
            chunk.state.step_cache.end_first_chunk(chunk.steps)

    def _prepare_cache(self, chunk: LatentChunk[CodecStateT]) -> None:
        """Before a chunk's first step, bring the cache rows of all its steps up to date."""
        if not chunk.steps_done and not chunk.is_first:
            chunk.state.step_cache.begin_chunk(chunk.steps)

    def _renoised(self, clean_BFCHW: Tensor, timesteps_B: Tensor, key_B: Tensor) -> Tensor:
        """The input of a step after the first, for a batch of one."""
        noise_FCHW = self._noise(clean_BFCHW[0], key_B)
        return renoise(self.schedule, clean_BFCHW, noise_FCHW[None], timesteps_B)

    def decode(self, chunk: LatentChunk[CodecStateT]) -> Tensor:
        """A clean chunk to pixels, about [-1, 1]."""
        codec = self.codec
        if chunk.camera_TCHW is None:
            return self._run_codec("decode", codec.decode, chunk.x_FCHW, chunk.state)
        assert isinstance(codec, GuidedCodec), "no other codec's chunks keep their frames"
        prompt_BTE = chunk.conditioning.prompt_BTE
        assert prompt_BTE is not None, "a model of such a codec keeps its prompts"
        # never from a graph: the prompt's address changes with it
        return codec.decode_guided(
            chunk.x_FCHW, chunk.camera_TCHW, prompt_BTE[0], chunk.state.codec
        )

    def _run_codec(
        self,
        name: str,
        code: Callable[[Tensor, CodecStateT], Tensor],
        x: Tensor,
        state: StreamState[CodecStateT],
    ) -> Tensor:
        if len(x) not in (CHUNK_FRAMES, CHUNK_LATENTS):
            return code(x, state.codec)  # a stream's first chunk: its shapes come only once
        return state.runner.run((name, len(x)), lambda x: code(x, state.codec), x)

    def _noise_scale(
        self, order: ChunkOrder, rgb_TCHW: Tensor, state: StreamState[CodecStateT]
    ) -> Tensor:
        base = torch.full_like(state.noise_scale, order.settings.noise_scale)
        if state.last_frame_CHW is None or not order.settings.noise_controller:
            return base
        motion = motion_level(rgb_TCHW, state.last_frame_CHW, self.preset.motion)
        scale = next_noise_scale(base, state.noise_scale, motion, self.preset.motion)
        return scale.clamp(*self.preset.schedule.noise_scale_range)

    def _timesteps(self, order: ChunkOrder, state: StreamState[CodecStateT]) -> Tensor:
        timesteps_I = state.timesteps_I(order.settings.step_list)
        if order.is_first and not self.preset.schedule.first_chunk_from_scale:
            return timesteps_I
        return self.schedule.timesteps(self.schedule.first_timestep(state.noise_scale), timesteps_I)

    def _keys(self, device: torch.device, order: ChunkOrder) -> Tensor:
        """The noise key of each step, sent to the device without waiting."""
        keys = [
            step_key(self.preset.noise, seed=order.settings.seed, chunk=order.number, step=step)
            for step in range(len(order.settings.step_list))
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


def _run_eagerly(key: Hashable, function: Callable[..., Tensor], *inputs: Tensor) -> Tensor:
    return function(*inputs)

"""One stream of the real pipeline: its stages, and changes of its parameters."""

import logging
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

import torch
from msgspec import UNSET
from slipstream_protocol.frames import I420
from slipstream_protocol.messages import StageTimes
from slipstream_protocol.parameters import Parameters, Prompts

from slipstream_engine.codec.color import i420_from_rgb, rgb_from_i420
from slipstream_engine.conditioning.prompts import Interpolation, PromptChange, PromptEmbeddings
from slipstream_engine.conditioning.worker import TextBusyError
from slipstream_engine.config import CHUNK_LATENTS
from slipstream_engine.device.stage_clock import StageClock
from slipstream_engine.device.transfer import Download, Fetch, Upload
from slipstream_engine.diffusion.batched_step import BatchedDenoiser
from slipstream_engine.diffusion.chunk import LatentChunk
from slipstream_engine.diffusion.state import StreamState
from slipstream_engine.diffusion.stream_batch import StreamBatch, denoise_in_sequence
from slipstream_engine.scheduling.types import ChunkShape

logger = logging.getLogger(__name__)

CodecStateT = TypeVar("CodecStateT")

# levels of a `ChunkShape`: chunks whose tensors differ in size run in separate passes
FIRST, RESTART, FILLING, STEADY = "first", "restart", "filling", "steady"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Transfers:
    """The copies from host to device and back; all streams share them."""

    upload: Upload
    download: Download


class DiffusionStream(Generic[CodecStateT]):
    """One stream; see `PipelineStream` in `serving/pipeline_protocol.py`.

    Args:
        denoiser: runs passes.
        release_lane: called once, when the stream is closed or garbage-collected.
        batch: lets `step` run steps of neighbouring chunks in one pass; None runs all steps of a
            chunk before the next.
    """

    def __init__(
        self,
        denoiser: BatchedDenoiser[CodecStateT],
        embeddings: PromptEmbeddings,
        transfers: Transfers,
        state: StreamState[CodecStateT],
        release_lane: Callable[[], None],
        batch: StreamBatch[CodecStateT] | None = None,
    ) -> None:
        self._denoiser = denoiser
        self._maker = denoiser.maker
        self._embeddings = embeddings
        self._transfers = transfers
        self._batch = batch
        self.state = state
        self._release_lane = weakref.finalize(self, release_lane)
        self._release_lane.atexit = False

    @property
    def prompts(self) -> Prompts:
        change = self.state.prompt_change
        return self.state.prompts.prompts if change is None else change.mixture.prompts

    @torch.inference_mode()
    def apply(self, parameters: Parameters) -> None:
        """Change what `parameters` names, from the next chunk on.

        New prompts take effect once they are encoded; no chunk waits for that. `paused` is for the
        caller, who sends no chunks meanwhile.
        """
        settings = self.state.settings.changed(parameters, self._maker.preset.schedule)
        change = self._prompt_change(parameters)
        self.state.set(settings)
        if change is not None:
            self.state.prompt_change = change
        if parameters.reset_cache is True:
            self.state.needs_reset = True

    @torch.inference_mode()
    def begin(self) -> None:
        """Condition on the prompts that the first chunk has: the viewer's where they are encoded
        already and come at once, else the preset's."""
        state = self.state
        if state.prompt_change is not None and state.prompt_change.chunks <= 1:
            self._adopt_prompts()
            state.prompts.advance()
        state.conditioning = self._maker.model.condition(state.prompts.embedding_TE[None])

    def _prompt_change(self, parameters: Parameters) -> PromptChange | None:
        target, transition = parameters.target, parameters.transition
        if target is UNSET:
            return None
        try:
            mixture = self._embeddings.mixture(target)
        except TextBusyError as error:
            raise ValueError(str(error)) from error
        if transition is UNSET:
            return PromptChange(mixture=mixture)
        method = Interpolation(transition.temporal_interpolation_method)
        return PromptChange(mixture=mixture, chunks=transition.num_steps, method=method)

    def await_prompts(self) -> None:
        """Wait until new prompts are encoded: for files, where no viewer waits.

        Raises:
            Exception: whatever encoding them raised.
        """
        if self.state.prompt_change is not None:
            self.state.prompt_change.mixture.result()

    def _adopt_prompts(self) -> None:
        """Start the change to new prompts once they are encoded; drop them if that failed."""
        change = self.state.prompt_change
        if change is None or not change.mixture.is_ready:
            return
        self.state.prompt_change = None
        try:
            self.state.prompts.start_change(change)
        except Exception:  # whatever the encoder raises, the stream goes on with its old prompts
            logger.exception("prompts could not be encoded: %s", change.mixture.prompts)

    @property
    def shape(self) -> ChunkShape:
        state = self.state
        # while a cache fills, each chunk attends to more than the one before: no graph serves it
        is_full = state.past_frames + CHUNK_LATENTS >= self._maker.preset.cache.slots
        level = STEADY if is_full else FILLING
        if state.needs_reset or not state.past_frames:
            level = RESTART if state.next_chunk else FIRST
        # the first chunk of an epoch empties the cache, so no chunk before it may still need it
        return ChunkShape(
            level=level, steps=len(state.settings.step_list), alone=level in (FIRST, RESTART)
        )

    @property
    def steady_shape(self) -> ChunkShape:
        return ChunkShape(level=STEADY, steps=len(self.state.settings.step_list))

    @torch.inference_mode()
    def encode(self, frames_THW: I420) -> LatentChunk[CodecStateT]:
        self._adopt_prompts()
        with self._transfers.upload.sent(frames_THW) as sent_THW:
            rgb_TCHW = rgb_from_i420(sent_THW)
        return self._maker.encode(rgb_TCHW, self.state)

    @torch.inference_mode()
    def decode(self, chunk: LatentChunk[CodecStateT], out_THW: I420) -> Fetch | None:
        return self._transfers.download.fetch(i420_from_rgb(self._maker.decode(chunk)), out_THW)

    @torch.inference_mode()
    def step(self, frames_THW: I420, out_THW: I420) -> StageTimes:
        """Run all stages of a chunk: for files, where no other stream waits.

        In a stream batch the chunk that comes out is an earlier one; at the start there is none.
        """
        clock = StageClock(self.state.timesteps_I.device)
        chunk = self.encode(frames_THW)
        clock.record()
        clean = (
            denoise_in_sequence(self._denoiser, chunk)
            if self._batch is None
            else self._batch.denoise(chunk)
        )
        clock.record()
        if clean is None:
            return StageTimes()
        generated_THW = i420_from_rgb(self._maker.decode(clean))
        clock.record()
        if fetch := self._transfers.download.fetch(generated_THW, out_THW):
            fetch.finish()
        encode_ms, denoise_ms, decode_ms = clock.laps_ms()
        return StageTimes(encode_ms=encode_ms, denoise_ms=denoise_ms, decode_ms=decode_ms)

    def close(self) -> None:
        """Release the lane; garbage collection does the same."""
        self._release_lane()

"""One viewer's stream of the real pipeline: its stages, and what a viewer may change."""

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
from slipstream_engine.device.stage_clock import StageClock
from slipstream_engine.device.transfer import Download, Upload
from slipstream_engine.diffusion.batched_step import BatchedDenoiser
from slipstream_engine.diffusion.chunk import LatentChunk
from slipstream_engine.diffusion.state import StreamState
from slipstream_engine.diffusion.stream_batch import StreamBatch, denoise_in_sequence
from slipstream_engine.scheduling.types import ChunkShape

logger = logging.getLogger(__name__)

CodecStateT = TypeVar("CodecStateT")

# levels, see `work.Shape`: what a chunk's latents, or its place in the cache, set apart
FIRST, RESTART, STEADY = "first", "restart", "steady"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Transfers:
    """The two ways between host and device; streams take turns on them."""

    upload: Upload
    download: Download


class DiffusionStream(Generic[CodecStateT]):
    """One viewer's stream; see `pipeline.Stream`.

    Args:
        joint: runs passes.
        give_lane: called once, when the stream is closed or nobody refers to it any more.
        batch: lets `step` run those of neighbouring chunks together; None runs a chunk's at once.
    """

    def __init__(
        self,
        joint: BatchedDenoiser[CodecStateT],
        embeddings: PromptEmbeddings,
        transfers: Transfers,
        state: StreamState[CodecStateT],
        give_lane: Callable[[], None],
        batch: StreamBatch[CodecStateT] | None = None,
    ) -> None:
        self._joint = joint
        self._maker = joint.maker
        self._embeddings = embeddings
        self._transfers = transfers
        self._batch = batch
        self.state = state
        self._lease = weakref.finalize(self, give_lane)
        self._lease.atexit = False

    @property
    def prompts(self) -> Prompts:
        change = self.state.change
        return self.state.prompts.prompts if change is None else change.mixture.prompts

    @torch.inference_mode()
    def apply(self, parameters: Parameters) -> None:
        """Change what `parameters` names, from the next chunk on.

        Prompts that still have to be encoded follow as soon as they are; no chunk waits for them.
        `paused` is for the caller, who sends no chunks meanwhile.
        """
        settings = self.state.settings.changed(parameters, self._maker.preset.schedule)
        change = self._change(parameters)
        self.state.set(settings)
        if change is not None:
            self.state.change = change
        if parameters.reset_cache is True:
            self.state.restarts = True

    def _change(self, parameters: Parameters) -> PromptChange | None:
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
        """Wait until the prompts asked for are encoded: for files, where no viewer waits.

        Raises:
            Exception: whatever encoding them raised.
        """
        if self.state.change is not None:
            self.state.change.mixture.result()

    def _take_up_change(self) -> None:
        """Head for new prompts once they are encoded; those that cannot be are given up."""
        change = self.state.change
        if change is None or not change.mixture.is_ready:
            return
        self.state.change = None
        try:
            self.state.prompts.head_for(change)
        except Exception:  # an encoder may throw anything; the stream goes on with its old prompts
            logger.exception("prompts could not be encoded: %s", change.mixture.prompts)

    @property
    def shape(self) -> ChunkShape:
        state = self.state
        level = STEADY
        if state.restarts or not state.past_frames:
            level = RESTART if state.chunk else FIRST
        # one epoch's first chunk empties the cache under whatever is left of the one before
        return ChunkShape(
            level=level, steps=len(state.settings.step_list), alone=level is not STEADY
        )

    @property
    def steady_shape(self) -> ChunkShape:
        return ChunkShape(level=STEADY, steps=len(self.state.settings.step_list))

    @torch.inference_mode()
    def encode(self, frames_THW: I420) -> LatentChunk[CodecStateT]:
        self._take_up_change()
        with self._transfers.upload.sent(frames_THW) as sent_THW:
            rgb_TCHW = rgb_from_i420(sent_THW)
        return self._maker.encode(rgb_TCHW, self.state)

    @torch.inference_mode()
    def decode(self, chunk: LatentChunk[CodecStateT], out_THW: I420) -> None:
        made_THW = i420_from_rgb(self._maker.decode(chunk))
        self._transfers.download.begin(made_THW).take(out_THW)

    @torch.inference_mode()
    def step(self, frames_THW: I420, out_THW: I420) -> StageTimes:
        """A whole chunk, stage after stage: for files, where nobody else waits.

        In a stream batch it is an earlier chunk that becomes ready, or, at the start, none.
        """
        clock = StageClock(self.state.steps.device)
        chunk = self.encode(frames_THW)
        clock.mark()
        clean = (
            denoise_in_sequence(self._joint, chunk)
            if self._batch is None
            else self._batch.denoise(chunk)
        )
        clock.mark()
        if clean is None:
            return StageTimes()
        made_THW = i420_from_rgb(self._maker.decode(clean))
        clock.mark()
        self._transfers.download.begin(made_THW).take(out_THW)
        encode_ms, denoise_ms, decode_ms = clock.laps_ms()
        return StageTimes(encode_ms=encode_ms, denoise_ms=denoise_ms, decode_ms=decode_ms)

    def close(self) -> None:
        """Give its lane back; one that nobody refers to any more does so by itself."""
        self._lease()

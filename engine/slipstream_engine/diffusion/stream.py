"""One stream of the real pipeline: its stages, and changes of its parameters."""

import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

import torch
from slipstream_protocol.frames import I420, FrameSize
from slipstream_protocol.messages import StageTimes
from slipstream_protocol.parameters import Parameters, Prompts

from slipstream_engine.codec.color import i420_from_rgb, rgb_from_i420
from slipstream_engine.device.stage_clock import StageClock
from slipstream_engine.device.transfer import Download, Fetch, Upload
from slipstream_engine.diffusion.batched_step import BatchedDenoiser
from slipstream_engine.diffusion.chunk import LatentChunk
from slipstream_engine.diffusion.lane_pool import LaneMemory
from slipstream_engine.diffusion.state import StreamState
from slipstream_engine.diffusion.stream_batch import StreamBatch, denoise_in_sequence
from slipstream_engine.diffusion.stream_host import StreamHost
from slipstream_engine.scheduling.types import ChunkShape

CodecStateT = TypeVar("CodecStateT")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Transfers:
    """The copies from host to device and back; all streams share them."""

    upload: Upload
    download: Download


class DiffusionStream(Generic[CodecStateT]):
    """One stream; see `PipelineStream` in `serving/pipeline_protocol.py`.

    Args:
        denoiser: runs passes.
        resize_lane: empties the stream's memory, for frames of that size, and returns it.
        release_lane: called once, when the stream is closed or garbage-collected.
        batch: lets `step` run steps of neighbouring chunks in one pass; None runs all steps of a
            chunk before the next.
    """

    def __init__(
        self,
        denoiser: BatchedDenoiser[CodecStateT],
        host: StreamHost,
        transfers: Transfers,
        state: StreamState[CodecStateT],
        resize_lane: Callable[[FrameSize], LaneMemory[CodecStateT]],
        release_lane: Callable[[], None],
        batch: StreamBatch[CodecStateT] | None = None,
    ) -> None:
        self._denoiser = denoiser
        self._maker = denoiser.maker
        self._transfers = transfers
        self._batch = batch
        self.host = host
        self.state = state
        self._resize_lane = resize_lane
        self._release_lane = weakref.finalize(self, release_lane)
        self._release_lane.atexit = False

    @property
    def prompts(self) -> Prompts:
        return self.host.prompts

    @property
    def shape(self) -> ChunkShape:
        return self.host.shape

    @property
    def steady_shape(self) -> ChunkShape:
        return self.host.steady_shape

    @torch.inference_mode()
    def apply(self, parameters: Parameters) -> None:
        self.host.apply(parameters)

    def resize(self, size: FrameSize) -> None:
        self.host.resize(size)

    @torch.inference_mode()
    def begin(self) -> None:
        """Condition on the prompts that the first chunk has."""
        self.state.conditioning = self._maker.model.condition(self.host.begin()[None])

    def await_prompts(self) -> None:
        """See `StreamHost.await_prompts`."""
        self.host.await_prompts()

    @torch.inference_mode()
    def encode(self, frames_THW: I420) -> LatentChunk[CodecStateT]:
        with self._transfers.upload.sent(frames_THW) as sent_THW:
            rgb_TCHW = rgb_from_i420(sent_THW)
        order = self.host.order(len(frames_THW))
        if order.new_size is not None:
            lane = self._resize_lane(order.new_size)
            self.state.begin_anew(lane.step_cache, lane.codec, lane.runner)
        return self._maker.encode(order, rgb_TCHW, self.state)

    @torch.inference_mode()
    def decode(self, chunk: LatentChunk[CodecStateT], out_THW: I420) -> Fetch | None:
        return self._transfers.download.fetch(i420_from_rgb(self._maker.decode(chunk)), out_THW)

    @torch.inference_mode()
    def step(self, frames_THW: I420, out_THW: I420) -> StageTimes:
        """Run all stages of a chunk: for files, where no other stream waits.

        In a stream batch the chunk that comes out is an earlier one; at the start there is none.
        """
        clock = StageClock(self.state.noise_scale.device)
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

"""The real pipeline: camera frames in, diffused frames out, stage by stage."""

import logging
from collections.abc import Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from functools import partial
from typing import Generic, TypeVar

import numpy as np
import torch
from slipstream_protocol.frames import Geometry
from slipstream_protocol.messages import Vocabulary
from slipstream_protocol.parameters import Parameters, Prompt, Prompts

from slipstream_engine.codec.protocol import Codec
from slipstream_engine.conditioning.encoder import TextEncoder
from slipstream_engine.conditioning.prompts import PromptEmbeddings, PromptTrack, encode_inline
from slipstream_engine.conditioning.worker import TextWorker
from slipstream_engine.config import CHUNK_FRAMES, FIRST_CHUNK_FRAMES, EngineConfig, Preset
from slipstream_engine.device.memory import DeviceMemory, memory_of
from slipstream_engine.device.transfer import Download, Upload
from slipstream_engine.diffusion.batched_step import BatchedDenoiser
from slipstream_engine.diffusion.chunk import ChunkMaker, LatentChunk
from slipstream_engine.diffusion.cuda_graphs import Compiler, GraphRunner, Recorder
from slipstream_engine.diffusion.flow_matching import FlowSchedule
from slipstream_engine.diffusion.lane_pool import LaneMemory, LanePool
from slipstream_engine.diffusion.state import StreamSettings, StreamState
from slipstream_engine.diffusion.stream import DiffusionStream, Transfers
from slipstream_engine.diffusion.stream_batch import StreamBatch
from slipstream_engine.errors import AdmissionError
from slipstream_engine.kv_cache.rolling_cache import RollingCache
from slipstream_engine.models.dit.rope import precise
from slipstream_engine.models.dit.transformer import CausalDit

logger = logging.getLogger(__name__)

CodecStateT = TypeVar("CodecStateT")

MAX_BATCH = 16
WARM_UP_CHUNKS = 3


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ModelBundle(Generic[CodecStateT]):
    """What a preset names, loaded: on one device, in one dtype, ready for inference.

    Args:
        text_worker: encodes with `text` in a thread of its own, started already; the pipeline
            closes it. None where encoding takes no time.
    """

    model: CausalDit
    codec: Codec[CodecStateT]
    text: TextEncoder
    text_worker: TextWorker | None = None


class DiffusionPipeline(Generic[CodecStateT]):
    """A preset with its parts loaded; see `pipeline.Pipeline`.

    Args:
        config: what to serve and where.
        parts: the loaded model, codec and text encoder.
        recorder: makes graphs where they are wanted; None for CUDA's.
        memory: of the device; None for its own account.

    Raises:
        ValueError: if the preset's frame size does not divide into the model's tokens.
    """

    name = "diffusion"

    def __init__(
        self,
        config: EngineConfig,
        parts: ModelBundle[CodecStateT],
        *,
        recorder: Recorder | None = None,
        memory: DeviceMemory | None = None,
    ) -> None:
        preset = config.preset
        self._config = config
        self._device = torch.device(config.device)
        self._memory = memory or memory_of(self._device)
        self._stream_bytes = 0
        self._parts = parts
        self._latent_size = latent_size(preset, parts.codec.stride)
        rows, columns = parts.model.grid(*self._latent_size)
        self._frame_tokens = rows * columns
        schedule = FlowSchedule(preset.schedule, self._device)
        self._maker = ChunkMaker(
            preset=preset, model=parts.model, schedule=schedule, codec=parts.codec
        )
        largest = (FIRST_CHUNK_FRAMES, *self.geometry.frame_shape)
        self._transfers = Transfers(
            upload=Upload(largest, self._device), download=Download(largest, self._device)
        )
        self._compiler = Compiler(config.compilation, self._device, parts.model, recorder=recorder)
        worker = parts.text_worker
        self._embeddings = PromptEmbeddings(
            encode_inline(parts.text) if worker is None else worker.submit
        )
        # every stream begins with it, so it is kept for good
        self._resting = self._embeddings.mixture((Prompt(preset.prompt),))
        self._pool = self._make_pool()
        self._joint = BatchedDenoiser(
            maker=self._maker, pool=self._pool.cache, runner=GraphRunner(self._compiler)
        )

    @property
    def preset(self) -> str:
        return self._config.preset.name

    @property
    def geometry(self) -> Geometry:
        return Geometry(
            width_px=self._config.preset.width_px,
            height_px=self._config.preset.height_px,
            first_chunk_frames=FIRST_CHUNK_FRAMES,
            chunk_frames=CHUNK_FRAMES,
        )

    @property
    def max_streams(self) -> int:
        return self._config.max_streams

    @property
    def max_batch(self) -> int:
        return MAX_BATCH if self._device.type == "cuda" else self._config.cpu_batch

    @property
    def defaults(self) -> Parameters:
        schedule = self._config.preset.schedule
        return Parameters(
            prompts=(Prompt(self._config.preset.prompt),),
            denoising_step_list=schedule.step_list[: schedule.steps],
            noise_scale=schedule.noise_scale,
            noise_controller=True,
            seed=0,
        )

    @property
    def step_list(self) -> tuple[int, ...]:
        return self._config.preset.schedule.step_list

    @property
    def noise_scale_range(self) -> tuple[float, float]:
        return self._config.preset.schedule.noise_scale_range

    @property
    def vocabulary(self) -> Vocabulary:
        return self._parts.text.vocabulary

    @property
    def note(self) -> str:
        return "; ".join(filter(None, (self._config.preset.note, self._compiler.note)))

    def understood(self, prompts: Prompts) -> str:
        return self._parts.text.understood(prompts)

    def warm_up(self) -> None:
        """Make a few chunks of a throw-away stream, so that no viewer gets the slow ones."""
        try:
            self._warm_up()
        except Exception as error:  # a compiler may throw anything; without one it may yet run
            if not self._compiler.is_active:
                raise
            logger.exception("the compiled model does not run")
            self._compiler.give_up(error)
            self._warm_up()

    def _warm_up(self) -> None:
        # graphs are of a lane, so each has to be warm
        lanes = 1 if self._compiler.recorder is None else self._pool.lanes
        with ExitStack() as opened:
            for lane in range(lanes):
                before = self._memory.used_bytes() if self._memory else 0
                try:
                    stream = opened.enter_context(closing(self.open(Parameters())))
                except AdmissionError as error:
                    if not lane:
                        raise
                    logger.warning("only %s of %s streams are warm: %s", lane, lanes, error)
                    return
                self._warm_up_with(stream)
                # what the first stream took, what is made once for all of them included
                taken = self._memory.used_bytes() - before if self._memory else 0
                self._stream_bytes = max(self._stream_bytes, taken)

    def _warm_up_with(self, stream: DiffusionStream[CodecStateT]) -> None:
        if not self._compiler.is_active:
            self._run_blank(stream, range(WARM_UP_CHUNKS))
            return
        # every length of the cache is a shape of its own to a compiler, and so is a past of nothing
        full = self._config.preset.cache.slots + 1
        self._run_blank(stream, range(full))
        stream.apply(Parameters(reset_cache=True))
        self._run_blank(stream, range(full, 2 * full))

    def _run_blank(self, stream: DiffusionStream[CodecStateT], chunks: range) -> None:
        for chunk in chunks:
            frames = np.full(
                (self.geometry.frames_of(chunk), *self.geometry.frame_shape), 128, dtype=np.uint8
            )
            stream.step(frames, np.empty_like(frames))

    @torch.inference_mode()
    def open(
        self, parameters: Parameters, *, batched: bool = False
    ) -> DiffusionStream[CodecStateT]:
        """A fresh stream, see `pipeline.Pipeline.open`; `batched` makes it a stream batch."""
        if not self._pool.has_room:
            raise AdmissionError(
                f"{self._pool.lanes} streams are open, the limit is {self._pool.lanes}; wait until "
                "a viewer leaves, or start the engine with a larger --max-streams"
            )
        self._check_memory()
        try:
            return self._open(parameters, batched=batched)
        except (RuntimeError, MemoryError) as error:
            if not _is_out_of_memory(error):
                raise
            reason = str(error).partition("\n")[0] or type(error).__name__
            raise AdmissionError(
                f"no memory for another stream: {reason}; wait until a viewer leaves"
            ) from error

    def _check_memory(self) -> None:
        """Refuse a stream whose chunks would run out of memory later on."""
        if self._memory is None or not self._pool.needs_memory:
            return
        free = self._memory.free_bytes()
        if free < self._stream_bytes:
            raise AdmissionError(
                f"a stream takes {self._stream_bytes / 1e6:.0f} MB of memory, {free / 1e6:.0f} MB "
                "are free; wait until a viewer leaves, or ask for a smaller size"
            )

    @torch.inference_mode()
    def denoise(self, chunks: Sequence[LatentChunk[CodecStateT]]) -> None:
        self._joint.run(chunks)

    def finish(self) -> None:
        if self._device.type == "cuda":
            torch.cuda.current_stream(self._device).synchronize()

    def close(self) -> None:
        if self._parts.text_worker is not None:
            self._parts.text_worker.close()

    def _open(self, parameters: Parameters, *, batched: bool) -> DiffusionStream[CodecStateT]:
        lane = self._pool.take()  # takes none where there is no memory for it
        try:
            stream = DiffusionStream(
                self._joint,
                self._embeddings,
                self._transfers,
                self._fresh_state(lane),
                partial(self._pool.give, lane),
                StreamBatch(self._joint) if batched else None,
            )
        except BaseException:
            self._pool.give(lane)
            raise
        try:
            stream.apply(self.defaults.merged(parameters))
        except BaseException:
            stream.close()
            raise
        return stream

    def _fresh_state(self, lane: LaneMemory[CodecStateT]) -> StreamState[CodecStateT]:
        settings = _default_settings(self._config.preset)
        # begin with the preset's prompt, encoded since warming up; the viewer's own may take time
        track = PromptTrack.at(self._resting.prompts, self._resting.result())
        return StreamState(
            cache=lane.cache,
            first_row=lane.first_row,
            codec=lane.codec,
            prompts=track,
            conditioning=self._parts.model.condition(track.embedding_TE[None]),
            settings=settings,
            steps=torch.tensor(settings.step_list, device=self._device),
            noise_scale=torch.tensor(
                settings.noise_scale, device=self._device, dtype=precise(self._device)
            ),
            runner=lane.runner,
            resident=lane.resident,
        )

    @torch.inference_mode()
    def _make_pool(self) -> LanePool[CodecStateT]:
        preset, model, lanes = self._config.preset, self._parts.model, self._config.max_streams
        cache = RollingCache(
            model.params,
            preset.cache,
            rows=lanes * len(preset.schedule.step_list),
            frame_tokens=self._frame_tokens,
            device=self._device,
            dtype=model.dtype,
        )
        return LanePool(cache, self._parts.codec, self._compiler, lanes=lanes)


def _is_out_of_memory(error: Exception) -> bool:
    """Whether torch has found no memory; on a CPU its error has no class of its own."""
    known = isinstance(error, torch.OutOfMemoryError | MemoryError)
    return known or "allocate memory" in str(error)


def _default_settings(preset: Preset) -> StreamSettings:
    schedule = preset.schedule
    return StreamSettings(
        step_list=schedule.step_list[: schedule.steps],
        noise_scale=schedule.noise_scale,
        noise_controller=True,
        seed=0,
    )


def latent_size(preset: Preset, stride: int) -> tuple[int, int]:
    """Height and width of a frame's latents.

    Raises:
        ValueError: if the preset's frame size does not divide into the model's tokens.
    """
    _, rows, columns = preset.dit.patch
    for name, size, unit in (
        ("height", preset.height_px, stride * rows),
        ("width", preset.width_px, stride * columns),
    ):
        if size % unit:
            below = max(size // unit, 1) * unit
            raise ValueError(
                f"{name} is {size} px, it must be a multiple of {unit} for preset {preset.name}, "
                f"like {below} or {below + unit}"
            )
    return preset.height_px // stride, preset.width_px // stride

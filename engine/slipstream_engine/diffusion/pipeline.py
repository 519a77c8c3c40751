"""The real pipeline: camera frames in, diffused frames out, stage by stage."""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, TypeVar

import torch
from slipstream_protocol.arena import largest_geometry
from slipstream_protocol.frames import FrameSize, Geometry
from slipstream_protocol.levels import Levels
from slipstream_protocol.messages import Vocabulary
from slipstream_protocol.parameters import Parameters, Prompt, Prompts

from slipstream_engine.codec.protocol import Codec
from slipstream_engine.conditioning.encoder import TextEncoder
from slipstream_engine.conditioning.prompts import PromptEmbeddings, PromptTrack, encode_inline
from slipstream_engine.conditioning.worker import TextWorker
from slipstream_engine.config import (
    CHUNK_FRAMES,
    FIRST_CHUNK_FRAMES,
    EngineConfig,
    Preset,
)
from slipstream_engine.device.attention_order import AttentionOrder
from slipstream_engine.device.memory import DeviceMemory, memory_of
from slipstream_engine.device.transfer import Download, Upload
from slipstream_engine.diffusion.batched_step import BatchedDenoiser
from slipstream_engine.diffusion.chunk import ChunkMaker, LatentChunk
from slipstream_engine.diffusion.cuda_graphs import GraphPolicy, GraphRunner, Recorder
from slipstream_engine.diffusion.flow_matching import FlowSchedule
from slipstream_engine.diffusion.lane_pool import LaneMemory, LanePool
from slipstream_engine.diffusion.memory_admission import MemoryAdmission, is_out_of_memory
from slipstream_engine.diffusion.pass_splitter import PassSplitter
from slipstream_engine.diffusion.shared_conditioning import SharedConditioning
from slipstream_engine.diffusion.shared_warm_up import SharedWarmUp
from slipstream_engine.diffusion.state import StreamState
from slipstream_engine.diffusion.step_limit import limit_steps
from slipstream_engine.diffusion.stream import DiffusionStream, Transfers
from slipstream_engine.diffusion.stream_batch import StreamBatch
from slipstream_engine.diffusion.stream_host import StreamHost
from slipstream_engine.diffusion.warm_up import WarmUp
from slipstream_engine.errors import AdmissionError
from slipstream_engine.frame_sizes import ScaledSize, scaled_sizes
from slipstream_engine.kernels.availability import fused_note, why_not_fused
from slipstream_engine.kv_cache.rolling_cache import RollingCache
from slipstream_engine.models.dit.rope import exact_dtype
from slipstream_engine.models.dit.transformer import CausalDit

CodecStateT = TypeVar("CodecStateT")

GPU_BATCH = 16  # most micro-steps of one pass


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ModelBundle(Generic[CodecStateT]):
    """The models that a preset names, loaded: on one device, in one dtype, ready for inference.

    Args:
        text_worker: encodes with `text` in a thread of its own, started already; the pipeline
            closes it. None where encoding takes no time.
    """

    model: CausalDit
    codec: Codec[CodecStateT]
    text: TextEncoder
    text_worker: TextWorker | None = None


class DiffusionPipeline(Generic[CodecStateT]):
    """A preset with its models loaded; see `Pipeline` in `serving/pipeline_protocol.py`.

    Args:
        config: what to serve and where.
        bundle: the loaded model, codec and text encoder.
        recorder: records graphs if the configuration says so; None for CUDA's.
        memory: of the device; None to measure it.
        attention: the order of attention kernels, in force until `close`; None for torch's own.

    Attributes:
        bundle: the loaded models.
        maker: turns frames into chunks and back.
        transfers: of frames to the device and back.
        sizes: of frames that a stream may have.
        pool: the memory of all streams.
        denoiser: runs passes over it.

    Raises:
        ValueError: if the preset's frame size does not divide into the model's tokens.
    """

    name = "diffusion"

    def __init__(
        self,
        config: EngineConfig,
        bundle: ModelBundle[CodecStateT],
        *,
        recorder: Recorder | None = None,
        memory: DeviceMemory | None = None,
        attention: AttentionOrder | None = None,
    ) -> None:
        self._attention = attention
        self._until_closed = ExitStack()
        if attention is not None:
            self._until_closed.enter_context(attention.in_force())
        self._device = torch.device(config.device)
        memory = memory or memory_of(self._device)
        self._admission = MemoryAdmission(memory)
        self.bundle = bundle
        self._size = config.preset.scales[0]
        self.sizes = _sizes(config.preset, bundle.codec.stride)
        self._tokens = {
            one.size: _frame_tokens(config.preset, bundle, one.size) for one in self.sizes
        }
        self._config, self._steps_note = limit_steps(
            config, bundle.model, frame_tokens=max(self._tokens.values()), memory=memory
        )
        preset = self._config.preset
        schedule = FlowSchedule(preset.schedule, self._device)
        self.maker = ChunkMaker(
            preset=preset, model=bundle.model, schedule=schedule, codec=bundle.codec
        )
        most_bytes = largest_geometry(self.geometry, self._tokens).slot_bytes
        self.transfers = Transfers(
            upload=Upload(most_bytes, self._device), download=Download(most_bytes, self._device)
        )
        self._graphs = GraphPolicy(config.compilation, self._device, recorder=recorder)
        bundle.model.is_fused = not why_not_fused(self._device)
        worker = bundle.text_worker
        self._embeddings = PromptEmbeddings(
            encode_inline(bundle.text) if worker is None else worker.submit, device=self._device
        )
        # every stream begins with it
        self._default_prompt = self._embeddings.mixture((Prompt(preset.prompt),))
        self.pool = self._make_pool()
        self.denoiser = BatchedDenoiser(
            maker=self.maker,
            pool=self.pool.cache,
            runner=GraphRunner(self._graphs),
            shared=SharedConditioning(min(GPU_BATCH, self.pool.cache.row_count)),
        )
        self._splitter = PassSplitter(self.denoiser, self._free_memory)

    @property
    def records_graphs(self) -> bool:
        """Whether passes run from graphs once their shapes are steady."""
        return self._graphs.recorder is not None

    @property
    def preset(self) -> str:
        return self._config.preset.name

    @property
    def geometry(self) -> Geometry:
        return Geometry(
            width_px=self._size.width_px,
            height_px=self._size.height_px,
            first_chunk_frames=FIRST_CHUNK_FRAMES,
            chunk_frames=CHUNK_FRAMES,
        )

    def begin_at(self, size: FrameSize) -> None:
        assert size in self._tokens, "only a size that is offered can be begun with"
        self._size = size

    @property
    def max_streams(self) -> int:
        return self._config.max_streams

    @property
    def max_batch(self) -> int:
        return GPU_BATCH if self._device.type == "cuda" else self._config.cpu_batch

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
    def levels(self) -> Levels:
        return self._config.preset.levels

    @property
    def fps(self) -> float:
        return self._config.preset.fps

    @property
    def vocabulary(self) -> Vocabulary:
        return self.bundle.text.vocabulary

    @property
    def note(self) -> str:
        preset_note = self._config.preset.note
        attention_note = "" if self._attention is None else self._attention.note
        notes = (
            *(preset_note, fused_note(self._device), attention_note),
            *(self._graphs.note, self._steps_note),
        )
        return "; ".join(filter(None, notes))

    def understood(self, prompts: Prompts) -> str:
        return self.bundle.text.understood(prompts)

    def warm_up(self) -> None:
        """Generate chunks of throw-away streams: the first ones are slow."""
        WarmUp(
            open_stream=lambda: self.open(Parameters()),
            geometry=self.geometry,
            lanes=self.pool.lanes,
            cache_slots=self._config.preset.cache.slots,
            graphs=self._graphs,
            admission=self._admission,
            shared=SharedWarmUp(denoise=self.denoise, geometry=self.geometry, most=self.max_batch),
            steps=self._config.preset.schedule.steps,
            other_sizes=[size for size in self._ladder_sizes if size != self._size],
        ).run()

    @torch.inference_mode()
    def open(
        self, parameters: Parameters, *, batched: bool = False
    ) -> DiffusionStream[CodecStateT]:
        """A fresh stream, see `Pipeline.open`; `batched` makes it a stream batch."""
        if not self.pool.has_free_lane:
            raise AdmissionError(
                f"{self.pool.lanes} streams are open, the limit is {self.pool.lanes}; wait until "
                "a viewer leaves, or start the engine with a larger --max-streams"
            )
        if self.pool.next_is_new:
            self._admission.check()
        try:
            return self._open(parameters, batched=batched)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            reason = str(error).partition("\n")[0] or type(error).__name__
            raise AdmissionError(
                f"no memory for another stream: {reason}; wait until a viewer leaves"
            ) from error

    @torch.inference_mode()
    def denoise(self, chunks: Sequence[LatentChunk[CodecStateT]]) -> None:
        self._splitter.run(chunks)

    def submitted(self) -> torch.cuda.Event | None:
        if self._device.type != "cuda":
            return None
        event = torch.cuda.Event()
        event.record(torch.cuda.current_stream(self._device))
        return event

    def finish(self) -> None:
        if self._device.type == "cuda":
            torch.cuda.current_stream(self._device).synchronize()

    def close(self) -> None:
        self._until_closed.close()
        if self.bundle.text_worker is not None:
            self.bundle.text_worker.close()

    def _open(self, parameters: Parameters, *, batched: bool) -> DiffusionStream[CodecStateT]:
        size = self._size
        lane = self.pool.acquire(size)  # takes none if there is no memory for it
        try:
            stream = DiffusionStream(
                self.denoiser,
                self.fresh_host(size),
                self.transfers,
                self.fresh_state(lane),
                partial(self._resize, lane),
                partial(self._release, lane),
                StreamBatch(self.denoiser) if batched else None,
            )
        except BaseException:
            self._release(lane)
            raise
        try:
            stream.apply(self.defaults.merged(parameters))
            stream.begin()
        except BaseException:
            stream.close()
            raise
        return stream

    def _resize(self, lane: LaneMemory[CodecStateT], size: FrameSize) -> LaneMemory[CodecStateT]:
        """That lane's memory, empty, for frames of another size."""
        self.pool.resize(lane, size)
        return lane

    @torch.inference_mode()
    def _release(self, lane: LaneMemory[CodecStateT]) -> None:
        self.pool.release(lane)
        self.denoiser.shared.clear()

    def _free_memory(self) -> None:
        if self._device.type == "cuda":
            torch.cuda.empty_cache()

    def fresh_host(self, size: FrameSize) -> StreamHost:
        """The host's half of a new stream, of frames of that size."""
        default = self._default_prompt
        track = PromptTrack.constant(default.prompts, default.result())
        return StreamHost(self._config.preset, self._embeddings, track, size)

    @torch.inference_mode()
    def fresh_state(self, lane: LaneMemory[CodecStateT]) -> StreamState[CodecStateT]:
        """The device's half of a new stream, on a lane of the pool."""
        return StreamState(
            step_cache=lane.step_cache,
            first_row=lane.first_row,
            codec=lane.codec,
            noise_scale=torch.tensor(
                self._config.preset.schedule.noise_scale,
                device=self._device,
                dtype=exact_dtype(self._device),
            ),
            runner=lane.runner,
            static_conditioning=lane.static_conditioning,
        )

    @torch.inference_mode()
    def _make_pool(self) -> LanePool[CodecStateT]:
        preset, model, lanes = self._config.preset, self.bundle.model, self._config.max_streams
        share = self._config.share
        steps = len(preset.schedule.step_list) if share is None else max(len(share.steps), 1)
        cache = RollingCache(
            model.params,
            preset.cache,
            rows=lanes * steps,
            frame_tokens=max(self._tokens.values()),
            device=self._device,
            dtype=model.dtype,
        )
        return LanePool(
            cache,
            self.bundle.codec,
            self._graphs,
            self._tokens,
            lanes=lanes,
            kept_sizes=self._ladder_sizes if self.records_graphs else (),
        )

    @property
    def _ladder_sizes(self) -> list[FrameSize]:
        """Those that a ladder takes a stream to and back from, in each shape; none where its levels
        name no scale."""
        scales_px = self._config.preset.levels.sizes_px
        if not scales_px:
            return []
        largest_px = max(one.scale_px for one in self.sizes)
        return [one.size for one in self.sizes if one.scale_px in scales_px | {largest_px}]


def _sizes(preset: Preset, stride: int) -> tuple[ScaledSize, ...]:
    unit_px = stride * max(preset.dit.patch)
    return scaled_sizes(preset.scales, preset.aspects, unit_px=unit_px)


def _frame_tokens(preset: Preset, bundle: ModelBundle[Any], size: FrameSize) -> int:
    rows, columns = bundle.model.grid(*latent_size(preset, bundle.codec.stride, size))
    return rows * columns


def latent_size(preset: Preset, stride: int, size: FrameSize) -> tuple[int, int]:
    """Height and width of the latents of a frame of that size.

    Raises:
        ValueError: if it does not divide into the model's tokens.
    """
    _, rows, columns = preset.dit.patch
    for name, side_px, unit in (
        ("height", size.height_px, stride * rows),
        ("width", size.width_px, stride * columns),
    ):
        if side_px % unit:
            below = max(side_px // unit, 1) * unit
            raise ValueError(
                f"{name} is {side_px} px, it must be a multiple of {unit} for preset "
                f"{preset.name}, like {below} or {below + unit}"
            )
    return size.height_px // stride, size.width_px // stride

"""One stream's chunks: from the camera through the engine to every output."""

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Protocol

import msgspec
from slipstream_protocol.clock import NS_PER_S, now_ns
from slipstream_protocol.frames import FrameSize
from slipstream_protocol.messages import Applied, Ready, UpdateRefused
from slipstream_protocol.parameters import Parameters

from slipstream_server.control.events import Event
from slipstream_server.engine.client import EngineClient
from slipstream_server.engine.engine_stream import ChunkBack, EngineStream, StreamPromise
from slipstream_server.errors import EngineUnavailable
from slipstream_server.frames.chunker import CapturedFrame, Chunker
from slipstream_server.frames.playout import GeneratedFrame
from slipstream_server.frames.size_choice import SizeChoice
from slipstream_server.observability.metrics import Metrics
from slipstream_server.observability.slo import SloMonitor
from slipstream_server.streams.submitted_chunk import SubmittedChunk, new_frames

RETRY_S = 2.0
_NO_PROMISE = StreamPromise()


class ChunkPipeOwner(Protocol):
    """Receives the events of the engine that are not frames."""

    def on_applied(self, applied: Applied) -> None: ...
    def on_update_refused(self, refused: UpdateRefused) -> None: ...
    def on_lost(self, reason: str) -> None:
        """The engine is gone, or has failed at this stream; `open` may be called again."""
        ...


class ChunkObserver(Protocol):
    """Is told what becomes of a stream's frames."""

    def on_captured(self, frame: CapturedFrame) -> None:
        """The camera's newest frame."""
        ...

    def on_generated(self, first: GeneratedFrame) -> None:
        """A chunk has come that begins with `first`."""
        ...

    def on_given_up(self, stands_for_ns: int) -> None:
        """The engine has given up a chunk that stands for that moment."""
        ...


class Output(Protocol):
    """Where generated frames go."""

    def push(self, frames: Sequence[GeneratedFrame]) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Participant:
    """A call on the stream, publisher or subscriber, to which the stream's events go.

    Args:
        send: sends it an event.
        end: ends it, with the reason.
    """

    send: Callable[[Event], None]
    end: Callable[[str], None]


class ChunkPipe:
    """Frames in by `push`, chunks to the engine by `feed`, generated frames to every output.

    Chunks are numbered on across engines; `epoch` counts the engines.

    Args:
        id: of the stream.
        ready: the engine's description of itself.
        monitor: of the stream's service levels.
        metrics: of the whole server.
        owner: receives the engine's events that are not frames.
        promise: that the stream is given wherever it is opened.
    """

    def __init__(
        self,
        id: str,
        ready: Ready,
        monitor: SloMonitor,
        metrics: Metrics,
        owner: ChunkPipeOwner,
        *,
        promise: StreamPromise = _NO_PROMISE,
    ) -> None:
        self.id = id
        self.ready = ready
        self.is_paused = False
        self.epoch = 0
        self.epoch_chunks = 0
        self.outputs: list[Output] = []
        self.observers: list[ChunkObserver] = []
        self.participants: list[Participant] = []
        self._monitor = monitor
        self._metrics = metrics
        self._owner = owner
        self._chunker = Chunker(ready.geometry)
        self._sizes = SizeChoice.of(ready)
        self._pushed_size = ready.geometry.size  # of the newest frame
        self._alone_ms = 0.0  # time of a chunk of that size alone; 0 where nobody knows
        self._promise = promise
        self._engine: EngineStream | None = None
        self._lost_reason: str | None = None
        self._is_held = False
        self._gives_way = False
        self._past_chunks = 0  # of the epochs before this one
        self._wake = asyncio.Event()
        self._submitted: dict[int, SubmittedChunk] = {}
        self._dropped: Counter[str] = Counter()  # frames, by cause

    @property
    def is_idle(self) -> bool:
        """Whether no chunk is to be generated now."""
        return self.is_paused or self._is_held or self._gives_way

    @property
    def oldest_submitted(self) -> SubmittedChunk | None:
        """The oldest chunk that the engine has; None if it has none."""
        return min(self._submitted.values(), key=lambda one: one.stands_for_ns, default=None)

    @property
    def drops(self) -> Mapping[str, int]:
        """Frames that were dropped, by cause: those of the chunker; `deadline`, given up by the
        engine; `engine_lost`, in an engine that was lost."""
        return total_drops(self._chunker.drops, self._dropped)

    async def open(
        self,
        client: EngineClient,
        parameters: Parameters,
        *,
        is_return: bool = False,
        spare_lanes: tuple[int, ...] = (),
    ) -> None:
        """Take a lane; also once more, after the one before was lost.

        Args:
            is_return: it was lost: the stream has its promise already.
            spare_lanes: see `OpenStream`.

        Raises:
            RequestError, ServerFull: as `EngineClient.open`.
            EngineUnavailable: as `EngineClient.open`, and if the engine was lost, or has failed at
                this stream, before this task ran on.
        """
        self.epoch_chunks = 0
        self._lost_reason = None
        promise = replace(self._promise, is_return=is_return, spare_lanes=spare_lanes)
        engine = await client.open(parameters, self, promise)
        if self._lost_reason is not None:
            engine.close()
            raise EngineUnavailable(self._lost_reason, retry_after_s=RETRY_S)
        self._engine = engine
        self._alone_ms, opened = engine.alone_ms, client.ready.geometry.size
        self._alone_ms *= self._sizes.work_ratio(self._pushed_size, opened)
        self._observe_model()
        self.epoch += 1
        self._chunker.restart()
        self._wake.set()

    def close(self) -> None:
        """Give the lane back."""
        if self._engine is not None:
            self._engine.close()

    def push(self, frame: CapturedFrame) -> None:
        """Take in the camera's newest frame."""
        for observer in self.observers:
            observer.on_captured(frame)
        self._chunker.push(frame)
        size = FrameSize.of(frame.frame)
        if size != self._pushed_size:
            self._alone_ms *= self._sizes.work_ratio(size, self._pushed_size)
            self._pushed_size = size
            self._observe_model()
        self._wake.set()

    def pause(self, is_paused: bool) -> None:
        """Stop generating chunks, or go on; frames that wait for a chunk are dropped."""
        self.is_paused = is_paused
        self._chunker.flush()

    def hold(self, is_held: bool) -> None:
        """As `pause`, while the stream has no publisher."""
        self._is_held = is_held
        self._chunker.flush()

    def give_way(self, gives_way: bool) -> None:
        """As `pause`, for the sake of other streams."""
        if gives_way != self._gives_way:
            self._gives_way = gives_way
            self._chunker.flush()

    def limit_rate(self, fps: float) -> None:
        """Make no more than so many of the camera's frames a second; 0 for all."""
        self._chunker.max_fps = fps

    def limit_size(self, size_px: int) -> None:
        """Make pictures at this scale, from the camera's next one on; 0 for the largest."""
        self._sizes.limit(size_px)

    def size_for(self, width_px: int, height_px: int, now_ns: int) -> FrameSize:
        """The size at which a picture of the camera is to be pushed."""
        before = dict(self._sizes.turns)
        size = self._sizes.for_camera(width_px, height_px, now_ns)
        if self._sizes.turns != before:
            for outcome, count in self._sizes.turns.items():
                self._metrics.camera_turned(outcome, count - before.get(outcome, 0))
        return size

    @property
    def size(self) -> FrameSize:
        """Of the pictures that are pushed from now on."""
        return self._sizes.size

    @property
    def lane(self) -> int | None:
        """Its lane of the engine; None while it has none."""
        return None if self._engine is None else self._engine.lane

    @property
    def understood(self) -> str:
        """The engine's reading of the prompts the stream was opened with, for people."""
        return "" if self._engine is None else self._engine.understood

    def update(self, parameters: Parameters) -> None:
        """Send an update to the engine, which answers it by an event to the owner."""
        assert self._engine is not None, "a stream is opened before it is changed"
        self._engine.update(parameters)

    def send(self, event: Event) -> None:
        """Send an event to every participant."""
        for participant in self.participants:
            participant.send(event)

    async def feed(self) -> None:
        """Submit the newest frames as a chunk whenever the engine has a free slot."""
        while True:
            await self._until_due()
            while (engine := self._engine) is not None and engine.has_free_slot:
                frames = None if self.is_idle else self._chunker.take(now_ns())
                if frames is None:
                    break
                chunked_ns = now_ns()
                chunk, submitted_ns = await engine.submit(
                    [captured.frame for captured in frames], captured_ns=frames[0].stands_for_ns
                )
                if engine is self._engine:
                    self._submitted[chunk] = SubmittedChunk(
                        frames=frames, chunked_ns=chunked_ns, submitted_ns=submitted_ns
                    )
                else:
                    self._dropped["engine_lost"] += new_frames(frames)

    async def _until_due(self) -> None:
        """Wait until something has changed, or a chunk is due for lack of more frames."""
        engine = self._engine
        can_take = engine is not None and engine.has_free_slot and not self.is_idle
        due_ns = self._chunker.due_ns() if can_take else None
        wait_s = None if due_ns is None else max(0.0, (due_ns - now_ns()) / NS_PER_S)
        with suppress(TimeoutError):
            async with asyncio.timeout(wait_s):
                await self._wake.wait()
        self._wake.clear()

    # ---- events of the engine

    def on_slot_free(self) -> None:
        self._wake.set()

    def on_chunk(self, back: ChunkBack) -> None:
        submitted = self._submitted.pop(back.out.chunk)
        chunk = submitted.generated(back, chunk=self._past_chunks + back.out.chunk)
        missed = self._monitor.observe_chunk(chunk[0])
        self._metrics.chunk(back.out.stages, missed=missed)
        for output in self.outputs:
            output.push(chunk)
        for observer in self.observers:
            observer.on_generated(chunk[0])
        self.epoch_chunks = back.out.chunk + 1

    def on_dropped(self, chunk: int) -> None:
        frames = self._submitted.pop(chunk).frames
        self._dropped["deadline"] += new_frames(frames)
        for observer in self.observers:
            observer.on_given_up(frames[0].stands_for_ns)
        self._monitor.observe_dropped(now_ns())
        self._metrics.chunk_dropped()
        self._wake.set()

    def on_applied(self, applied: Applied) -> None:
        chunk = self._past_chunks + applied.chunk
        self._alone_ms = applied.alone_ms
        self._observe_model()
        self._owner.on_applied(msgspec.structs.replace(applied, chunk=chunk))

    def _observe_model(self) -> None:
        """Pictures are due as fast as the model makes them at the size that they have now."""
        frames, alone_ms = self.ready.geometry.chunk_frames, self._alone_ms
        self._monitor.observe_model(fps=frames * 1000 / alone_ms if alone_ms > 0 else None)

    def on_update_refused(self, refused: UpdateRefused) -> None:
        self._owner.on_update_refused(refused)

    def on_lost(self, reason: str) -> None:
        self.close()
        self._engine = None
        self._lost_reason = reason
        self._dropped["engine_lost"] += sum(
            new_frames(lost.frames) for lost in self._submitted.values()
        )
        self._submitted.clear()
        self._past_chunks += self.epoch_chunks
        self._owner.on_lost(reason)


def total_drops(*counts: Mapping[str, int]) -> Counter[str]:
    """Sum of the drops counted in several places, by cause."""
    total: Counter[str] = Counter()
    for count in counts:
        total.update(count)
    return total

"""One camera's chunks on their way through the engine, to everybody who watches them."""

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import msgspec
from slipstream_protocol.clock import now_ns
from slipstream_protocol.messages import Applied, ChunkOut, Ready, UpdateRefused
from slipstream_protocol.parameters import Parameters

from slipstream_server.control.events import Event
from slipstream_server.engine.client import EngineClient
from slipstream_server.engine.engine_stream import ChunkBack, EngineStream
from slipstream_server.errors import EngineUnavailable
from slipstream_server.frames.chunker import CapturedFrame, Chunker
from slipstream_server.frames.playout import ChunkStamps, GeneratedFrame
from slipstream_server.observability.metrics import Metrics
from slipstream_server.observability.slo import SloMonitor

_RETRY_S = 2.0


class Owner(Protocol):
    """Who is told of what is not pixels."""

    def on_applied(self, applied: Applied) -> None: ...
    def on_update_refused(self, refused: UpdateRefused) -> None: ...
    def on_lost(self, reason: str) -> None:
        """Its engine is gone, or has failed at it; `open` may be called again."""
        ...


class Output(Protocol):
    """Where generated frames go."""

    def push(self, frames: Sequence[GeneratedFrame]) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Participant:
    """One who sees the stream, and where its events go."""

    tell: Callable[[Event], None]
    end: Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Submitted:
    frames: tuple[CapturedFrame, ...]
    chunked_ns: int
    submitted_ns: int


class ChunkPipe:
    """Frames in by `push`, chunks to the engine by `feed`, generated frames to every output.

    Chunks are numbered through, whatever becomes of the engine; `epoch` counts the engines.

    Args:
        id: known to the page, part of the address of its clean view.
        ready: what the engine makes it with.
        monitor: of its service levels.
        metrics: of the whole server.
        owner: told of parameters and of the end.
    """

    def __init__(
        self, id: str, ready: Ready, monitor: SloMonitor, metrics: Metrics, owner: Owner
    ) -> None:
        self.id = id
        self.ready = ready
        self.paused = False
        self.epoch = 0
        self.epoch_chunks = 0
        self.outputs: list[Output] = []
        self.participants: list[Participant] = []
        self._monitor = monitor
        self._metrics = metrics
        self._owner = owner
        self._chunker = Chunker(ready.geometry)
        self._engine: EngineStream | None = None
        self._held = False
        self._past_chunks = 0  # of the epochs before
        self._wake = asyncio.Event()
        self._submitted: dict[int, _Submitted] = {}
        self._late: Counter[str] = Counter()

    @property
    def is_idle(self) -> bool:
        """Whether no chunk is to be made now."""
        return self.paused or self._held

    @property
    def drops(self) -> Mapping[str, int]:
        """Frames that were not sent on, by cause; `deadline` is the engine's, `engine_lost` went
        down with it."""
        return total_drops(self._chunker.drops, self._late)

    async def open(self, client: EngineClient, parameters: Parameters) -> None:
        """Take a lane, also anew after the one before was lost.

        Raises what `EngineClient.open` raises, and EngineUnavailable if it was lost meanwhile.
        """
        engine = await client.open(parameters, self)
        if engine.closing:  # lost again before it was our turn to run
            raise EngineUnavailable("the engine has just ended; try again", retry_after_s=_RETRY_S)
        self._engine = engine
        self.epoch += 1
        self.epoch_chunks = 0
        self._chunker.restart()
        self._wake.set()

    def close(self) -> None:
        """Give the lane back."""
        if self._engine is not None:
            self._engine.close()

    def push(self, frame: CapturedFrame) -> None:
        """Take in the camera's newest frame."""
        self._chunker.push(frame)
        self._wake.set()

    def pause(self, paused: bool) -> None:
        """Make no more chunks, or again; what came meanwhile is thrown away."""
        self.paused = paused
        self._chunker.flush()

    def hold(self, held: bool) -> None:
        """As `pause`, while there is nobody to show it to."""
        self._held = held
        self._chunker.flush()

    @property
    def understood(self) -> str:
        """What the model made of the prompts it was opened with, for people."""
        return "" if self._engine is None else self._engine.understood

    def update(self, parameters: Parameters) -> None:
        assert self._engine is not None, "a stream is opened before it is changed"
        self._engine.update(parameters)

    def tell(self, event: Event) -> None:
        """Tell every watcher."""
        for participant in self.participants:
            participant.tell(event)

    async def feed(self) -> None:
        """Hand the newest frames over whenever the engine wants a chunk."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            while (engine := self._engine) is not None and engine.has_free_slot:
                frames = None if self.is_idle else self._chunker.take()
                if frames is None:
                    break
                chunked_ns = now_ns()
                chunk, submitted_ns = await engine.submit(
                    [captured.frame for captured in frames], captured_ns=frames[0].captured_ns
                )
                if engine is self._engine:
                    self._submitted[chunk] = _Submitted(
                        frames=frames, chunked_ns=chunked_ns, submitted_ns=submitted_ns
                    )
                else:
                    self._late["engine_lost"] += len(frames)

    # ---- what the engine says

    def on_slot_free(self) -> None:
        self._wake.set()

    def on_chunk(self, back: ChunkBack) -> None:
        submitted = self._submitted.pop(back.out.chunk)
        chunk = _made(submitted, back, chunk=self._past_chunks + back.out.chunk)
        missed = self._monitor.observe_chunk(chunk[0])
        self._metrics.chunk(back.out.stages, missed=missed)
        for output in self.outputs:
            output.push(chunk)
        self.epoch_chunks = back.out.chunk + 1

    def on_dropped(self, chunk: int) -> None:
        self._late["deadline"] += len(self._submitted.pop(chunk).frames)
        self._monitor.observe_dropped(now_ns())
        self._metrics.chunk_dropped()
        self._wake.set()

    def on_applied(self, applied: Applied) -> None:
        chunk = self._past_chunks + applied.chunk
        self._owner.on_applied(msgspec.structs.replace(applied, chunk=chunk))

    def on_update_refused(self, refused: UpdateRefused) -> None:
        self._owner.on_update_refused(refused)

    def on_lost(self, reason: str) -> None:
        self.close()
        self._engine = None
        self._late["engine_lost"] += sum(len(gone.frames) for gone in self._submitted.values())
        self._submitted.clear()
        self._past_chunks += self.epoch_chunks
        self._owner.on_lost(reason)


def _made(submitted: _Submitted, back: ChunkBack, *, chunk: int) -> list[GeneratedFrame]:
    out: ChunkOut = back.out
    stamps = ChunkStamps(
        chunked_ns=submitted.chunked_ns,
        submitted_ns=submitted.submitted_ns,
        taken_ns=out.taken_ns,
        generated_ns=out.made_ns,
        received_ns=back.received_ns,
        stages=out.stages,
    )
    return [
        GeneratedFrame(
            frame=frame,
            captured_ns=captured.captured_ns,
            arrived_ns=captured.arrived_ns,
            first_packet_ns=captured.first_packet_ns,
            captured_unix_ns=captured.captured_unix_ns,
            chunk=chunk,
            index=index,
            rev=out.rev,
            stamps=stamps,
        )
        for index, (frame, captured) in enumerate(
            zip(back.frames_THW, submitted.frames, strict=True)
        )
    ]


def total_drops(*counts: Mapping[str, int]) -> Counter[str]:
    """Drops of several places, by cause."""
    total: Counter[str] = Counter()
    for count in counts:
        total.update(count)
    return total

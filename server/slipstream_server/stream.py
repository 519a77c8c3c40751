"""One camera's chunks on their way through the engine, to everybody who watches them."""

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from slipstream_protocol.clock import now_ns
from slipstream_protocol.messages import Applied, ChunkOut, Ready, UpdateRefused
from slipstream_protocol.parameters import Parameters

from slipstream_server.chunker import Captured, Chunker
from slipstream_server.engine_client import ChunkBack, EngineClient, EngineStream
from slipstream_server.events import Event
from slipstream_server.metrics import Metrics
from slipstream_server.playout import ChunkStamps, Made
from slipstream_server.slo import SloMonitor


class Owner(Protocol):
    """Who is told of what is not pixels."""

    def on_applied(self, applied: Applied) -> None: ...
    def on_update_refused(self, refused: UpdateRefused) -> None: ...
    def on_lost(self, reason: str) -> None: ...


class Output(Protocol):
    """Where generated frames go."""

    def push(self, frames: Sequence[Made]) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Watcher:
    """One who sees the stream, and where its events go."""

    tell: Callable[[Event], None]
    end: Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Submitted:
    frames: tuple[Captured, ...]
    chunked_ns: int
    submitted_ns: int


class Stream:
    """Frames in by `push`, chunks to the engine by `feed`, generated frames to every output.

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
        self.outputs: list[Output] = []
        self.watchers: list[Watcher] = []
        self._monitor = monitor
        self._metrics = metrics
        self._owner = owner
        self._chunker = Chunker(ready.geometry)
        self._engine: EngineStream | None = None
        self._wake = asyncio.Event()
        self._submitted: dict[int, _Submitted] = {}
        self._late: Counter[str] = Counter()

    @property
    def drops(self) -> Mapping[str, int]:
        """Frames that were not sent on, by cause; `deadline` is the engine's."""
        return total_drops(self._chunker.drops, self._late)

    async def open(self, client: EngineClient, parameters: Parameters) -> None:
        """Take a lane. Raises what `EngineClient.open` raises."""
        self._engine = await client.open(parameters, self)

    def close(self) -> None:
        """Give the lane back."""
        if self._engine is not None:
            self._engine.close()

    def push(self, frame: Captured) -> None:
        """Take in the camera's newest frame."""
        self._chunker.push(frame)
        self._wake.set()

    def pause(self, paused: bool) -> None:
        """Make no more chunks, or again; what came meanwhile is thrown away."""
        self.paused = paused
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
        for watcher in self.watchers:
            watcher.tell(event)

    async def feed(self) -> None:
        """Hand the newest frames over whenever the engine wants a chunk."""
        engine = self._engine
        assert engine is not None, "a stream is opened before it is fed"
        while True:
            await self._wake.wait()
            self._wake.clear()
            while engine.has_free_slot and not self.paused:
                frames = self._chunker.take()
                if frames is None:
                    break
                chunked_ns = now_ns()
                chunk, submitted_ns = await engine.submit(
                    [captured.frame for captured in frames], captured_ns=frames[0].captured_ns
                )
                self._submitted[chunk] = _Submitted(
                    frames=frames, chunked_ns=chunked_ns, submitted_ns=submitted_ns
                )

    # ---- what the engine says

    def on_slot_free(self) -> None:
        self._wake.set()

    def on_chunk(self, back: ChunkBack) -> None:
        submitted = self._submitted.pop(back.out.chunk)
        chunk = _made(submitted, back)
        missed = self._monitor.observe_chunk(chunk[0])
        self._metrics.chunk(back.out.stages, missed=missed)
        for output in self.outputs:
            output.push(chunk)

    def on_dropped(self, chunk: int) -> None:
        self._late["deadline"] += len(self._submitted.pop(chunk).frames)
        self._monitor.observe_dropped(now_ns())
        self._metrics.chunk_dropped()
        self._wake.set()

    def on_applied(self, applied: Applied) -> None:
        self._owner.on_applied(applied)

    def on_update_refused(self, refused: UpdateRefused) -> None:
        self._owner.on_update_refused(refused)

    def on_lost(self, reason: str) -> None:
        self._owner.on_lost(reason)


def _made(submitted: _Submitted, back: ChunkBack) -> list[Made]:
    out: ChunkOut = back.out
    stamps = ChunkStamps(
        chunked_ns=submitted.chunked_ns,
        submitted_ns=submitted.submitted_ns,
        taken_ns=out.taken_ns,
        made_ns=out.made_ns,
        received_ns=back.received_ns,
        stages=out.stages,
    )
    return [
        Made(
            frame=frame,
            captured_ns=captured.captured_ns,
            arrived_ns=captured.arrived_ns,
            came_ns=captured.came_ns,
            filmed_unix_ns=captured.filmed_unix_ns,
            chunk=out.chunk,
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

"""One stream on a running engine: its lane, its input slots, and the listener of its events."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, Self

import numpy as np
from slipstream_protocol.arena import Arena, Slots
from slipstream_protocol.clock import NS_PER_S, now_ns
from slipstream_protocol.frames import I420, FrameSize
from slipstream_protocol.levels import Level
from slipstream_protocol.messages import (
    Applied,
    ChunkIn,
    ChunkOut,
    CloseStream,
    ToEngine,
    Update,
    UpdateRefused,
)
from slipstream_protocol.parameters import Parameters


@dataclass(frozen=True, slots=True, kw_only=True)
class ChunkBack:
    """A chunk from the engine.

    Args:
        out: its message.
        frames_THW: a copy of its frames, `[T, H * 3 // 2, W]`, uint8.
        received_ns: when the message arrived.
    """

    out: ChunkOut
    frames_THW: I420
    received_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamPromise:
    """What a stream is to be promised; see `OpenStream`."""

    period_ns: int = 0
    floor_steps: int = 0
    floor_period_ns: int = 0
    floor_size_px: int = 0
    is_return: bool = False
    spare_lanes: tuple[int, ...] = ()

    @classmethod
    def of_camera(cls, fps: float, *, chunk_frames: int, lowest: Level) -> Self:
        """The camera's rate; where the device is full, the lowest level of quality."""
        chunk_ns = chunk_frames * NS_PER_S
        return cls(
            period_ns=round(chunk_ns / fps),
            floor_steps=lowest.steps,
            floor_period_ns=round(chunk_ns / lowest.fps) if lowest.fps else 0,
            floor_size_px=lowest.size_px,
        )


class StreamListener(Protocol):
    """Receives a stream's events; no method may block."""

    def on_slot_free(self) -> None: ...
    def on_chunk(self, back: ChunkBack) -> None: ...
    def on_dropped(self, chunk: int) -> None: ...
    def on_applied(self, applied: Applied) -> None: ...
    def on_update_refused(self, refused: UpdateRefused) -> None: ...
    def on_lost(self, reason: str) -> None:
        """The stream has failed, or its engine is gone; no event follows."""
        ...


class EngineStream:
    """A lane of the engine, from the stream's opening to its closing.

    Args:
        lane: its number.
        listener: receives the stream's events.
        arena: the shared memory that chunks are written to.
        in_slots: how many chunks fit in there at a time.
        send: sends a message to the engine.
        copy: runs a function that copies pixels.
    """

    def __init__(
        self,
        lane: int,
        listener: StreamListener,
        *,
        arena: Arena,
        in_slots: int,
        send: Callable[[ToEngine], None],
        copy: Callable[[Callable[[], object]], Coroutine[Any, Any, None]],
    ) -> None:
        self.lane = lane
        self.listener = listener
        self.opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.slots = Slots(in_slots, owned=True)
        self.closing = False
        self.understood = ""  # how the engine reads the prompts that the stream began with
        self.alone_ms = 0.0  # forecast time of a chunk that has the engine to itself
        self._arena = arena
        self._send = send
        self._copy = copy
        self._chunks = 0

    @property
    def has_free_slot(self) -> bool:
        return len(self.slots) > 0 and not self.closing

    async def submit(self, frames: Sequence[I420], *, captured_ns: int) -> tuple[int, int]:
        """Send the next chunk to the engine; `has_free_slot` must hold.

        Args:
            frames: each `[H * 3 // 2, W]`, uint8, all of one size that the engine offers.
            captured_ns: when the oldest frame was captured.

        Returns:
            the chunk's number in the stream, and when its message was sent, in ns.
        """
        slot = self.slots.take()
        assert slot is not None, "a chunk may only be submitted into a free slot"
        size = FrameSize.of(frames[0])
        slot_THW = self._arena.input(self.lane, slot, size)
        await self._copy(lambda: np.stack(frames, out=slot_THW[: len(frames)]))
        chunk, submitted_ns = self._chunks, now_ns()
        self._chunks += 1
        self._send(
            ChunkIn(
                lane=self.lane,
                slot=slot,
                chunk=chunk,
                frames=len(frames),
                captured_ns=captured_ns,
                submitted_ns=submitted_ns,
                size=size,
            )
        )
        return chunk, submitted_ns

    def update(self, parameters: Parameters) -> None:
        """Send new parameters; answered by `on_applied` or `on_update_refused`."""
        self._send(Update(lane=self.lane, parameters=parameters))

    def close(self) -> None:
        """Give the lane back; it is free once the engine has answered `StreamClosed`."""
        if not self.closing:
            self.closing = True
            self._send(CloseStream(lane=self.lane))

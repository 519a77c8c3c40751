"""The server's end of a running engine: lanes, slots, chunks out and chunks back.

One client lives as long as one engine process. Results go straight to the stream's listener, in the
order of the socket, so nothing queues here.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from slipstream_protocol.arena import Arena, Layout, Slots
from slipstream_protocol.channel import AsyncChannel, ChannelClosed, ChannelError
from slipstream_protocol.clock import now_ns
from slipstream_protocol.frames import I420
from slipstream_protocol.messages import (
    Applied,
    ChunkDropped,
    ChunkIn,
    ChunkOut,
    CloseStream,
    Failed,
    OpenStream,
    Ready,
    SlotFree,
    SlotRead,
    Stop,
    StreamClosed,
    StreamOpened,
    StreamRefused,
    ToEngine,
    ToServer,
    Update,
    UpdateRefused,
)
from slipstream_protocol.parameters import Parameters
from slipstream_protocol.turnover import TurnoverEstimator

from slipstream_server.errors import EngineUnavailable, RequestError, ServerFull

logger = logging.getLogger(__name__)

OPEN_S = 4.0
LANE_WAIT_S = 2.0
_INLINE_COPY_BYTES = 1 << 20  # a larger copy takes more than the loop may be held up


@dataclass(frozen=True, slots=True, kw_only=True)
class ChunkBack:
    """A chunk from the engine: its message, our own copy `[T, H * 3 // 2, W]`, and when it came."""

    out: ChunkOut
    frames_THW: I420
    received_ns: int


class StreamListener(Protocol):
    """Who is told of a stream's events; each call returns at once."""

    def on_slot_free(self) -> None: ...
    def on_chunk(self, back: ChunkBack) -> None: ...
    def on_dropped(self, chunk: int) -> None: ...
    def on_applied(self, applied: Applied) -> None: ...
    def on_update_refused(self, refused: UpdateRefused) -> None: ...
    def on_lost(self, reason: str) -> None:
        """The stream has failed, or its engine is gone; nothing more will come."""
        ...


class EngineStream:
    """A lane while a viewer has it.

    Args:
        client: who gave it.
        lane: its number.
        listener: told of all that comes back.
    """

    def __init__(self, client: "EngineClient", lane: int, listener: StreamListener) -> None:
        self.lane = lane
        self.listener = listener
        self.opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.slots = Slots(client.ready.in_slots, owned=True)
        self.closing = False
        self.understood = ""  # what the engine made of the prompts it began with
        self._client = client
        self._chunks = 0

    @property
    def has_free_slot(self) -> bool:
        return len(self.slots) > 0 and not self.closing

    async def submit(self, frames: Sequence[I420], *, captured_ns: int) -> tuple[int, int]:
        """Hand over the next chunk; ask `has_free_slot` first.

        Args:
            captured_ns: when the oldest frame was taken.

        Returns:
            its number in the stream, and when it was announced, in ns.
        """
        slot = self.slots.take()
        assert slot is not None, "a chunk may only be submitted into a free slot"
        place_THW = self._client.arena.input(self.lane, slot)
        await self._client.copy(lambda: np.stack(frames, out=place_THW[: len(frames)]))
        chunk, submitted_ns = self._chunks, now_ns()
        self._chunks += 1
        self._client.send(
            ChunkIn(
                lane=self.lane,
                slot=slot,
                chunk=chunk,
                frames=len(frames),
                captured_ns=captured_ns,
                submitted_ns=submitted_ns,
            )
        )
        return chunk, submitted_ns

    def update(self, parameters: Parameters) -> None:
        self._client.send(Update(lane=self.lane, parameters=parameters))

    def close(self) -> None:
        """Give the lane back; it is free again once the engine has said so."""
        if not self.closing:
            self.closing = True
            self._client.send(CloseStream(lane=self.lane))


class EngineClient:
    """Streams on a running engine.

    Args:
        channel: after `Ready` has been received on it.
        ready: what the engine said of itself.
        arena: attached to the descriptor that came with it; owned from now on.
        pool: for copies too large for the loop.
        lanes: those that may be used here; all of the engine's unless given.
    """

    def __init__(
        self,
        channel: AsyncChannel[ToServer],
        ready: Ready,
        arena: Arena,
        pool: Executor,
        *,
        lanes: Sequence[int] | None = None,
    ) -> None:
        self.ready = ready
        self.arena = arena
        self._channel = channel
        self._pool = pool
        self._lanes = range(ready.lanes) if lanes is None else lanes
        self._streams: dict[int, EngineStream] = {}
        self._lane_freed = asyncio.Event()
        self._places = TurnoverEstimator(since_ns=now_ns())
        self._inline = ready.geometry.slot_bytes <= _INLINE_COPY_BYTES
        self._gone: str | None = None

    @classmethod
    def attach(
        cls,
        channel: AsyncChannel[ToServer],
        ready: Ready,
        descriptor: int,
        pool: Executor,
        *,
        lanes: Sequence[int] | None = None,
    ) -> "EngineClient":
        """A client over the shared memory that came with `ready`.

        Args:
            descriptor: of that memory; owned from now on.
        """
        layout = Layout(
            geometry=ready.geometry,
            lanes=ready.lanes,
            in_slots=ready.in_slots,
            out_slots=ready.out_slots,
        )
        return cls(channel, ready, Arena(descriptor, layout), pool, lanes=lanes)

    @property
    def lanes(self) -> int:
        """How many may be used here."""
        return len(self._lanes)

    @property
    def free_lanes(self) -> int:
        return len(self._lanes) - len(self._streams)

    async def open(self, parameters: Parameters, listener: StreamListener) -> EngineStream:
        """A fresh stream; waits a moment for a lane that is just being given back.

        Raises:
            ServerFull: if every lane is taken, or the engine has no room.
            RequestError: if the engine cannot start with `parameters`.
            EngineUnavailable: if the engine is gone, or does not answer in time.
        """
        stream = EngineStream(self, await self._free_lane(), listener)
        self._streams[stream.lane] = stream
        self.send(OpenStream(lane=stream.lane, parameters=parameters))
        try:
            async with asyncio.timeout(OPEN_S):
                await stream.opened
        except TimeoutError as error:
            stream.close()
            raise EngineUnavailable(
                f"the engine has not opened a stream within {OPEN_S:g} s; try again",
                retry_after_s=OPEN_S,
            ) from error
        except asyncio.CancelledError:
            stream.close()
            raise
        return stream

    async def serve(self) -> str:
        """Pass on what the engine says until it is gone; returns why. Then comes `lose`."""
        try:
            while True:
                await self._take(await self._channel.receive())
        except ChannelClosed as error:
            return str(error)
        except (ChannelError, ValueError, IndexError) as error:
            logger.exception("the engine breaks the protocol")
            return f"the engine breaks the protocol: {error}"

    def stop(self) -> None:
        """Ask the engine to finish and leave."""
        self.send(Stop())

    def send(self, message: ToEngine) -> None:
        """Send, or hang up on an engine that takes nothing any more; `serve` then ends."""
        try:
            self._channel.send(message)
        except ChannelClosed as error:
            logger.warning("%s not sent: %s", type(message).__name__, error)
            self._channel.close()

    async def copy(self, work: Callable[[], object]) -> None:
        """Copy a chunk, off the loop where it is large."""
        if self._inline:
            work()
            return
        copying = asyncio.get_running_loop().run_in_executor(self._pool, work)
        await asyncio.shield(copying)

    def lose(self, reason: str) -> None:
        """Tell every stream, once, that nothing more will come; let go of the shared memory."""
        if self._gone is not None:
            return
        self._gone = reason
        self.arena.close()
        streams, self._streams = list(self._streams.values()), {}
        self._lane_freed.set()
        for stream in streams:
            was_closing, stream.closing = stream.closing, True
            if not stream.opened.done():
                stream.opened.set_exception(EngineUnavailable(reason, retry_after_s=2.0))
            elif not was_closing:
                stream.listener.on_lost(reason)

    async def _free_lane(self) -> int:
        try:
            async with asyncio.timeout(LANE_WAIT_S):
                while not self.free_lanes and any(s.closing for s in self._streams.values()):
                    self._lane_freed.clear()
                    await self._lane_freed.wait()
        except TimeoutError:
            logger.warning("a lane was not given back within %s s", LANE_WAIT_S)
        if self._gone is not None:
            raise EngineUnavailable(self._gone, retry_after_s=2.0)
        for lane in self._lanes:
            if lane not in self._streams:
                return lane
        raise ServerFull(
            f"all {self.ready.lanes} streams are in use; wait until one ends, or start the server "
            "with a larger --max-streams",
            retry_after_s=self._places.wait_s(now_ns()),
        )

    async def _take(self, message: ToServer) -> None:
        lane: int = getattr(message, "lane", -1)
        stream = self._streams.get(lane)
        if stream is None:
            if isinstance(message, Failed):
                logger.error("the engine has failed: %s", message.reason)
            return
        listener = stream.listener
        match message:
            case ChunkOut():
                back = await self._copy_out(message)
                self._notify(stream, lambda: listener.on_chunk(back))
            case SlotFree(slot=slot):
                stream.slots.give(slot)
                self._notify(stream, listener.on_slot_free)
            case ChunkDropped(slot=slot, chunk=chunk):
                stream.slots.give(slot)
                self._notify(stream, lambda: listener.on_dropped(chunk))
            case Applied():
                self._notify(stream, lambda: listener.on_applied(message))
            case UpdateRefused():
                self._notify(stream, lambda: listener.on_update_refused(message))
            case StreamOpened(understood=understood):
                stream.understood = understood
                if not stream.opened.done():
                    stream.opened.set_result(None)
            case StreamRefused():
                self._refused(stream, message)
            case StreamClosed():
                self._places.left(now_ns())
                self._forget(lane)
            case Failed(reason=reason):
                self._notify(stream, lambda: listener.on_lost(reason))

    def _notify(self, stream: EngineStream, tell: Callable[[], None]) -> None:
        if stream.closing:
            return
        try:
            tell()
        except Exception:  # one viewer's trouble is no other's
            logger.exception("the stream on lane %s is given up", stream.lane)
            stream.close()
            stream.listener.on_lost("the server has failed at this stream; its log has the reason")

    async def _copy_out(self, out: ChunkOut) -> ChunkBack:
        received_ns = now_ns()
        place_THW = self.arena.output(out.lane, out.slot)[: out.frames]
        frames_THW: I420 = np.empty_like(place_THW)
        await self.copy(lambda: np.copyto(frames_THW, place_THW))
        self.send(SlotRead(lane=out.lane, slot=out.slot))
        return ChunkBack(out=out, frames_THW=frames_THW, received_ns=received_ns)

    def _refused(self, stream: EngineStream, message: StreamRefused) -> None:
        if stream.closing or stream.opened.done():
            return  # given up, or about to be: the lane is free once that is answered too
        self._forget(stream.lane)
        if message.retry_after_s > 0:
            error: Exception = ServerFull(message.reason, retry_after_s=message.retry_after_s)
        else:
            error = RequestError(f"the engine cannot start with these parameters: {message.reason}")
        stream.opened.set_exception(error)

    def _forget(self, lane: int) -> None:
        self._streams.pop(lane, None)
        self._lane_freed.set()

"""The server's end of a running engine: opens streams on its lanes, and dispatches its messages.

One client lives as long as one engine process. Messages go straight to the stream's listener, in
the order in which they arrive, so nothing queues here.
"""

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import Executor

import numpy as np
from slipstream_protocol.arena import Arena, Layout, largest_geometry
from slipstream_protocol.async_channel import AsyncChannel
from slipstream_protocol.channel import ChannelClosed
from slipstream_protocol.clock import now_ns
from slipstream_protocol.frames import I420
from slipstream_protocol.framing import ChannelError
from slipstream_protocol.messages import (
    Applied,
    ChunkDropped,
    ChunkOut,
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
    UpdateRefused,
)
from slipstream_protocol.parameters import Parameters
from slipstream_protocol.turnover import TurnoverEstimator

from slipstream_server.engine.engine_stream import (
    ChunkBack,
    EngineStream,
    StreamListener,
    StreamPromise,
)
from slipstream_server.errors import EngineFull, EngineUnavailable, RequestError, streams_full

logger = logging.getLogger(__name__)

OPEN_S = 4.0
LANE_WAIT_S = 2.0
_NO_PROMISE = StreamPromise()
_INLINE_COPY_BYTES = 1 << 20  # a larger copy would block the loop for too long


class EngineClient:
    """Streams on a running engine.

    Args:
        channel: after `Ready` has been received on it.
        ready: the engine's description of itself.
        arena: the shared memory that came with `ready`; owned from now on.
        pool: runs copies that are too large for the loop.
    """

    def __init__(
        self,
        channel: AsyncChannel,
        ready: Ready,
        arena: Arena,
        pool: Executor,
    ) -> None:
        self.ready = ready
        self.arena = arena
        self._channel = channel
        self._pool = pool
        self._streams: dict[int, EngineStream] = {}
        self._lane_freed = asyncio.Event()
        self._turnover = TurnoverEstimator(since_ns=now_ns())
        self._copies_inline = arena.layout.geometry.slot_bytes <= _INLINE_COPY_BYTES
        self._lost_reason: str | None = None

    @classmethod
    def attach(
        cls,
        channel: AsyncChannel,
        ready: Ready,
        descriptor: int,
        pool: Executor,
    ) -> "EngineClient":
        """A client over the shared memory that came with `ready`.

        Args:
            descriptor: of that memory; owned from now on.
        """
        layout = Layout(
            geometry=largest_geometry(ready.geometry, (one.size for one in ready.sizes)),
            lanes=ready.lanes,
            in_slots=ready.in_slots,
            out_slots=ready.out_slots,
        )
        return cls(channel, ready, Arena(descriptor, layout), pool)

    @property
    def lanes(self) -> int:
        """How many lanes the engine has."""
        return self.ready.lanes

    @property
    def free_lanes(self) -> int:
        return self.lanes - len(self._streams)

    async def open(
        self,
        parameters: Parameters,
        listener: StreamListener,
        promise: StreamPromise = _NO_PROMISE,
    ) -> EngineStream:
        """Open a stream; waits up to `LANE_WAIT_S` for a lane that is just being closed.

        Args:
            promise: that the engine is to keep.

        Raises:
            ServerFull: if every lane is in use.
            EngineFull: if the engine has no memory left, or another stream would be served less
                than it is promised.
            RequestError: if the engine cannot start with `parameters`.
            EngineUnavailable: if the engine is gone, or does not answer in time.
        """
        stream = EngineStream(
            await self._free_lane(),
            listener,
            arena=self.arena,
            in_slots=self.ready.in_slots,
            send=self.send,
            copy=self.copy,
        )
        self._streams[stream.lane] = stream
        self.send(
            OpenStream(
                lane=stream.lane,
                parameters=parameters,
                period_ns=promise.period_ns,
                floor_steps=promise.floor_steps,
                floor_period_ns=promise.floor_period_ns,
                floor_size_px=promise.floor_size_px,
                is_return=promise.is_return,
                spare_lanes=promise.spare_lanes,
            )
        )
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

    async def serve(self) -> str | None:
        """Dispatch messages until the channel closes; `on_engine_lost` follows.

        Returns:
            why the engine must end; None where the channel was closed.
        """
        try:
            while True:
                await self.dispatch(await self._channel.receive())
        except ChannelClosed:
            return None
        except (ChannelError, ValueError, IndexError) as error:
            logger.exception("the engine breaks the protocol")
            return f"the engine breaks the protocol: {error}"

    def stop(self) -> None:
        """Ask the engine to finish and exit."""
        self.send(Stop())

    def send(self, message: ToEngine) -> None:
        """Send; an engine that no longer reads gets its channel closed, which ends `serve`."""
        try:
            self._channel.send(message)
        except ChannelClosed as error:
            logger.warning("%s not sent: %s", type(message).__name__, error)
            self._channel.close()

    async def copy(self, work: Callable[[], object]) -> None:
        """Run a copy of one chunk, in the pool where it is large."""
        if self._copies_inline:
            work()
            return
        copying = asyncio.get_running_loop().run_in_executor(self._pool, work)
        await asyncio.shield(copying)

    def on_engine_lost(self, reason: str) -> None:
        """Report the engine's end to every stream, once; unmap the shared memory."""
        if self._lost_reason is not None:
            return
        self._lost_reason = reason
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
        if self._lost_reason is not None:
            raise EngineUnavailable(self._lost_reason, retry_after_s=2.0)
        for lane in range(self.lanes):
            if lane not in self._streams:
                return lane
        raise streams_full(self.ready.lanes, retry_after_s=self._turnover.wait_s(now_ns()))

    async def dispatch(self, message: ToServer) -> None:
        """Handle one message from the engine."""
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
            case StreamOpened(understood=understood, alone_ms=alone_ms):
                stream.understood, stream.alone_ms = understood, alone_ms
                if not stream.opened.done():
                    stream.opened.set_result(None)
            case StreamRefused():
                self._on_refused(stream, message)
            case StreamClosed():
                self._turnover.on_departure(now_ns())
                self._free(lane)
            case Failed(reason=reason):
                self._notify(stream, lambda: listener.on_lost(reason))

    def _notify(self, stream: EngineStream, event: Callable[[], None]) -> None:
        if stream.closing:
            return
        try:
            event()
        except Exception:  # the other streams go on
            logger.exception("the stream on lane %s is given up", stream.lane)
            stream.close()
            stream.listener.on_lost("the server has failed at this stream; its log has the reason")

    async def _copy_out(self, out: ChunkOut) -> ChunkBack:
        received_ns = now_ns()
        slot_THW = self.arena.output(out.lane, out.slot, out.size)[: out.frames]
        frames_THW: I420 = np.empty_like(slot_THW)
        await self.copy(lambda: np.copyto(frames_THW, slot_THW))
        self.send(SlotRead(lane=out.lane, slot=out.slot))
        return ChunkBack(out=out, frames_THW=frames_THW, received_ns=received_ns)

    def _on_refused(self, stream: EngineStream, message: StreamRefused) -> None:
        if stream.closing or stream.opened.done():
            return  # its CloseStream is on its way; the lane is free once that is answered
        self._free(stream.lane)
        if message.retry_after_s > 0:
            error: Exception = EngineFull(
                message.reason,
                retry_after_s=message.retry_after_s,
                fits_without=message.fits_without,
            )
        else:
            error = RequestError(f"the engine cannot start with these parameters: {message.reason}")
        stream.opened.set_exception(error)

    def _free(self, lane: int) -> None:
        self._streams.pop(lane, None)
        self._lane_freed.set()

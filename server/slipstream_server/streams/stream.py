"""A stream on this server: through calls that break off and engines that die."""

import asyncio
import contextlib
import logging
import secrets

import msgspec
from slipstream_protocol.clock import NS_PER_S, now_ns
from slipstream_protocol.messages import Applied, UpdateRefused
from slipstream_protocol.parameters import Parameters

from slipstream_server.control.events import (
    Event,
    PipelineError,
    State,
    StateName,
    StreamStopped,
    describe_model,
)
from slipstream_server.control.parameter_channel import ParameterChannel
from slipstream_server.control.update_queue import SendEvent, UpdateQueue, in_force
from slipstream_server.engine.client import EngineClient
from slipstream_server.errors import EngineUnavailable, RequestError, Unavailable
from slipstream_server.frames.chunker import CapturedFrame
from slipstream_server.frames.playout import ScheduledFrame
from slipstream_server.observability.slo import Milestone, SloMonitor
from slipstream_server.streams.chunk_pipe import ChunkPipe
from slipstream_server.streams.media_context import MediaContext
from slipstream_server.streams.ports import EngineProvider, Publisher
from slipstream_server.streams.resume_window import ResumeWindow
from slipstream_server.streams.telemetry import StreamTelemetry

logger = logging.getLogger(__name__)

_REPORT_S = 1.0
_RETRY_S = 2.0
_FRUITLESS = 3  # so many engines in a row without a chunk of this stream: it is to blame itself


class Stream:
    """A stream of which the calls come and go: its parameters, its figures, its standing.

    While no call carries it, it is held: lane and caches are kept, no chunk is made, watchers wait.
    While no engine runs it waits for the next one, and starts there with the parameters in force;
    its epoch grows, since the caches are gone.

    Args:
        id: known to the page, part of the address of its clean view.
        returns: whether the picture goes back on the call; a publisher only brings one.
        engine: where it lives.
        client: the engine as it runs now.
        context: shared by all sessions.
        offered_ns: when the first offer came, the zero of its time to first frame.
        hold_s: how long it is held.
    """

    def __init__(
        self,
        id: str,
        engine: EngineProvider,
        client: EngineClient,
        context: MediaContext,
        *,
        returns: bool,
        offered_ns: int,
        hold_s: float,
    ) -> None:
        self.id = id
        self.returns = returns
        self.since_ns = offered_ns
        self.secret = secrets.token_urlsafe(24)
        self.reason: str | None = None
        self.over = asyncio.Event()
        self.ready = client.ready
        self.lanes = client.lanes
        self.monitor = SloMonitor(context.targets, offered_ns=offered_ns)
        self.chunk_pipe = ChunkPipe(id, self.ready, self.monitor, context.metrics, self)
        self.resume_window: ResumeWindow[Publisher] = ResumeWindow(
            hold_ns=round(hold_s * NS_PER_S), now_ns=offered_ns
        )
        self.last_publisher_id = ""
        self.fanout = context.new_fanout(
            chunk_frames=self.ready.geometry.chunk_frames,
            on_frame=None if returns else self._on_frame_sent_to_all,
        )
        self.chunk_pipe.outputs.append(self.fanout)
        self._telemetry = StreamTelemetry(
            self.chunk_pipe,
            self.fanout,
            returns=returns,
            monitor=self.monitor,
            targets=context.targets,
            metrics=context.metrics,
        )
        self._engine = engine
        self._client = client
        self._hold_s = hold_s
        self._updates: UpdateQueue | None = None
        self._channel: ParameterChannel | None = None
        self._state: StateName = "connecting"
        self._connected = False
        self._ever_connected = False
        self._shows = False
        self._fruitless = 0
        self._ending = asyncio.Event()
        self._lost = asyncio.Event()
        self._publisher_changed = asyncio.Event()

    @property
    def is_held(self) -> bool:
        """Whether it waits for its viewer to come back."""
        return self._ever_connected and self.resume_window.publisher is None and self.reason is None

    @property
    def token(self) -> str:
        """What its viewer comes back with."""
        return f"{self.id}.{self.secret}"

    async def open(self, parameters: Parameters) -> None:
        """Take a lane.

        Raises:
            RequestError, Unavailable: if there is none; nothing is held then.
        """
        await self.chunk_pipe.open(self._client, parameters)
        if self.reason is not None:
            raise EngineUnavailable(self.reason, retry_after_s=_RETRY_S)
        self._updates = UpdateQueue(
            current=in_force(self.ready.defaults.merged(parameters)),
            understood=self.chunk_pipe.understood,
            apply=self.chunk_pipe.update,
            send=self._send_to_publisher,
        )
        self._channel = ParameterChannel(
            self._updates,
            send=self._send_to_publisher,
            on_first_shown=self.monitor.observe_first_shown,
            on_client_stats=self._telemetry.viewed,
        )
        self.chunk_pipe.pause(self._updates.current.paused is True)

    def end(self, reason: str) -> None:
        """Begin the end; the first reason counts."""
        if self.reason is None:
            self.reason = reason
            self._ending.set()

    async def run(self) -> None:
        """Serve until `end`; always give everything back."""
        try:
            async with asyncio.TaskGroup() as parts:
                tasks = (
                    parts.create_task(self.chunk_pipe.feed(), name="feed"),
                    parts.create_task(self.fanout.run(), name="fanout"),
                    parts.create_task(self._report(), name="report"),
                    parts.create_task(self._keep_engine(), name="engine"),
                    parts.create_task(self._expire(), name="expire"),
                )
                await self._ending.wait()
                for task in tasks:
                    task.cancel()
        except Exception:
            logger.exception("stream failed")
            self.end("the server has failed at this stream; its log has the reason")
        finally:
            self._release()

    def state_event(self) -> State:
        """Where the stream stands."""
        model = msgspec.structs.asdict(describe_model(self.ready))
        updates = self._opened_updates()
        return State(
            state=self._state,
            stream=self.id,
            epoch=self.chunk_pipe.epoch,
            understood=updates.understood,
            **(model | {"parameters": updates.current}),
        )

    # ---- what calls do

    def carry(self, call: Publisher) -> None:
        """The call carries the stream from now on; one that did is told, and ends."""
        older = self.resume_window.take(call)
        self.last_publisher_id = call.id
        self.chunk_pipe.participants.append(call.participant)
        if call.output is not None:
            self.chunk_pipe.outputs.append(call.output)
        if older is not None:
            reason = "the call was taken over by a newer one with the same token"
            self._let_go(older)
            older.participant.tell(StreamStopped(error_message=reason))
            older.participant.end(reason)
        self._connected = False
        self._interrupt()
        self._publisher_changed.set()
        self.chunk_pipe.hold(False)
        self._settle()

    def on_connected(self) -> None:
        """The call that carries the stream has its media path."""
        self.monitor.observe_milestone(Milestone.ICE, now_ns())
        self._connected = self._ever_connected = True
        self._settle()

    def drop(self, call: Publisher, reason: str, *, ends_stream: bool) -> None:
        """A call has ended; the stream is held unless that was meant to be its end."""
        if self.resume_window.publisher is not call:
            return
        if ends_stream or not self._ever_connected or not self._hold_s:
            self.end(reason)
            return
        self.resume_window.drop(call, now_ns())
        self._let_go(call)
        self._interrupt()
        self._publisher_changed.set()
        self.chunk_pipe.hold(True)
        logger.info("stream %s is held for %g s: %s", self.id, self._hold_s, reason)
        self._settle()

    def receive(self, raw: str | bytes, now_ns: int) -> None:
        """A message of the viewer's page."""
        self._opened_channel().receive(raw, now_ns)

    def update(self, parameters: Parameters, send: SendEvent) -> bool:
        """Take an update from elsewhere, answered by `send`; False if there are too many."""
        return self._opened_channel().submit(parameters, now_ns(), send)

    def on_frame(self, frame: CapturedFrame) -> None:
        """A frame of the viewer's camera."""
        self._telemetry.came(frame.arrived_ns)
        self.chunk_pipe.push(frame)

    def on_sent(self, scheduled: ScheduledFrame, sent_ns: int, *, rtp_timestamp: int) -> None:
        """A generated frame is on its way to the viewer."""
        self._telemetry.sent(scheduled, sent_ns)
        if not self._shows and not self.chunk_pipe.is_idle:
            self._shows = True
            self._settle()
        frame = scheduled.generated
        self._opened_updates().on_frame_sent(
            rev=frame.rev, chunk=frame.chunk, rtp_timestamp=rtp_timestamp
        )

    def _on_frame_sent_to_all(self, scheduled: ScheduledFrame, sent_ns: int) -> None:
        self.on_sent(scheduled, sent_ns, rtp_timestamp=0)

    # ---- what the engine says

    def on_applied(self, applied: Applied) -> None:
        updates = self._opened_updates()
        updates.on_applied(applied)
        paused = updates.current.paused is True
        if paused != self.chunk_pipe.paused:
            self.chunk_pipe.pause(paused)
            self._shows = False
            self._settle()

    def on_update_refused(self, refused: UpdateRefused) -> None:
        self._opened_updates().on_refused(refused)

    def on_lost(self, reason: str) -> None:
        if self._updates is None:
            self.end(reason)  # `open` says it
            return
        fruitful = self.chunk_pipe.epoch_chunks or self.chunk_pipe.is_idle
        self._fruitless = 0 if fruitful else self._fruitless + 1
        if self._fruitless >= _FRUITLESS:
            self.chunk_pipe.tell(PipelineError(error=reason))
            self.end(f"{reason}, {_FRUITLESS} times in a row before a picture of this stream came")
            return
        logger.warning("stream %s has lost its engine: %s", self.id, reason)
        self._updates.on_engine_lost()
        self._interrupt()
        self._lost.set()
        self._settle()
        self.chunk_pipe.tell(PipelineError(error=reason))

    async def _keep_engine(self) -> None:
        """Open the stream anew, with the parameters in force, whenever its engine is lost."""
        updates = self._opened_updates()
        while True:
            await self._lost.wait()
            client = await self._engine.running()
            try:
                self._fit(client)
                await self.chunk_pipe.open(client, updates.current)
            except RequestError as error:
                self.end(str(error))
                return
            except Unavailable as error:
                logger.info("stream %s is not opened yet: %s", self.id, error)
                await asyncio.sleep(error.retry_after_s)
                continue
            self._lost.clear()
            logger.info("stream %s is open again, epoch %d", self.id, self.chunk_pipe.epoch)
            updates.on_engine_opened(understood=self.chunk_pipe.understood)
            self._settle()

    def _fit(self, client: EngineClient) -> None:
        """Raises RequestError if the new engine makes pictures of another size."""
        if client.ready.geometry != self.ready.geometry:
            raise RequestError(
                "the engine was started again with another picture size; make a new call"
            )

    # ---- standing

    def _settle(self) -> None:
        """Find out where the stream stands, and tell it if that is news."""
        state = self._standing()
        if state != self._state:
            logger.info("stream %s: %s -> %s", self.id, self._state, state)
            self._state = state
            self.chunk_pipe.tell(self.state_event())

    def _standing(self) -> StateName:
        if self._lost.is_set():
            return "restarting"
        if self.resume_window.publisher is None:
            return "held"
        if not self._connected:
            return "connecting"
        if self.chunk_pipe.paused:
            return "paused"
        return "live" if self._shows else "warming"

    def _interrupt(self) -> None:
        self._shows = False
        self._telemetry.interrupted()

    def _let_go(self, call: Publisher) -> None:
        self._telemetry.left(call.drops)
        if call.participant in self.chunk_pipe.participants:
            self.chunk_pipe.participants.remove(call.participant)
        if call.output in self.chunk_pipe.outputs:
            self.chunk_pipe.outputs.remove(call.output)

    def _send_to_publisher(self, event: Event) -> None:
        if self.resume_window.publisher is not None:
            self.resume_window.publisher.participant.tell(event)

    def _opened_updates(self) -> UpdateQueue:
        assert self._updates is not None, "a stream is opened before it is used"
        return self._updates

    def _opened_channel(self) -> ParameterChannel:
        assert self._channel is not None, "a stream is opened before it is used"
        return self._channel

    async def _expire(self) -> None:
        while True:
            left_s = self.resume_window.left_s(now_ns())
            if left_s == 0:
                self.end(f"its viewer did not come back within {self._hold_s:g} s")
                return
            self._publisher_changed.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(left_s):
                    await self._publisher_changed.wait()

    async def _report(self) -> None:
        """Once a second: the figures, to everybody who watches and to the metrics."""
        while True:
            await asyncio.sleep(_REPORT_S)
            call = self.resume_window.publisher
            self.chunk_pipe.tell(self._telemetry.report(call.drops if call is not None else {}))

    def _release(self) -> None:
        self.chunk_pipe.close()
        self._telemetry.close()
        reason = self.reason or "the server is stopping"
        self.chunk_pipe.tell(StreamStopped(error_message=reason))
        for participant in self.chunk_pipe.participants:
            participant.end(f"the stream has ended: {reason}")
        self.chunk_pipe.participants.clear()
        self.over.set()

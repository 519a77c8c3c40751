"""A stream: it outlives its calls, which may break off, and its engines, which may die."""

import asyncio
import hmac
import logging
from contextlib import AbstractContextManager

import msgspec
from slipstream_protocol.clock import now_ns
from slipstream_protocol.parameters import Parameters

from slipstream_server.control.events import (
    SERVER_STOPS,
    Event,
    RecordingState,
    State,
    StateName,
    StreamStopped,
    Waiting,
    describe_model,
)
from slipstream_server.control.parameter_channel import ParameterChannel
from slipstream_server.control.slo_event import Slo
from slipstream_server.control.update_queue import SendEvent
from slipstream_server.engine.client import EngineClient
from slipstream_server.engine.engine_stream import StreamPromise
from slipstream_server.frames.chunker import CapturedFrame
from slipstream_server.frames.playout import ScheduledFrame
from slipstream_server.observability.client_stats import ClientStats
from slipstream_server.observability.frame_trace import FrameTrace
from slipstream_server.observability.slo import SloMonitor
from slipstream_server.observability.slo_report import Milestone
from slipstream_server.streams.engine_lease import EngineLease
from slipstream_server.streams.lifecycle import StreamLifecycle
from slipstream_server.streams.media_context import MediaContext
from slipstream_server.streams.newest_picture import NewestPicture
from slipstream_server.streams.ports import EngineProvider, Publisher
from slipstream_server.streams.publisher_slot import PublisherSlot
from slipstream_server.streams.quality_control import QualityControl
from slipstream_server.streams.recorder import StreamRecorder
from slipstream_server.streams.sound_pipe import SoundPipe
from slipstream_server.streams.telemetry import StreamTelemetry

logger = logging.getLogger(__name__)

_REPORT_S = 1.0


class Stream:
    """One publisher's video, generated anew, over all its calls and all engines.

    While it has no publisher it is held: it keeps its lane and its caches, no chunk is generated,
    subscribers wait. While it has no engine it waits for the next one, and begins there with the
    parameters in force; its epoch grows, since the caches are lost.

    Args:
        id: known to the page, part of the address of its clean view.
        resume_token: brings its publisher back to it.
        engines: the running engine, and the ones after it.
        client: the engine as it runs now.
        context: shared by all sessions.
        returns_video: whether generated frames go back on the publisher's call; a publisher by WHIP
            only sends.
        owner: what tells its publisher from others; empty if nothing does.
        camera_fps: its camera's rate, which it is promised.
        offered_ns: when the first offer came, from which the time to first frame counts.
        hold_s: how long it is held.
    """

    def __init__(
        self,
        id: str,
        engines: EngineProvider,
        client: EngineClient,
        context: MediaContext,
        *,
        resume_token: str,
        returns_video: bool,
        owner: str = "",
        camera_fps: float,
        offered_ns: int,
        hold_s: float,
    ) -> None:
        self.id = id
        self.resume_token = resume_token
        self.returns_video = returns_video
        self.since_ns = offered_ns
        self.end_reason: str | None = None
        self.figures: Slo | None = None  # the last that were sent
        self.ended = asyncio.Event()
        self._owner = owner
        self.monitor = SloMonitor(context.targets, offered_ns=offered_ns)
        self._engine = EngineLease(
            id,
            engines,
            client,
            promise=StreamPromise.of_camera(
                camera_fps,
                chunk_frames=client.ready.geometry.chunk_frames,
                lowest=context.ladder.lowest_of(client.ready.levels),
            ),
            monitor=self.monitor,
            metrics=context.metrics,
            send=self._send_to_publisher,
            on_paused=self._on_paused,
            on_lost=self._on_engine_lost,
            on_reopened=self._on_engine_reopened,
            end=self.end,
        )
        self.ready = self._engine.ready
        self.lanes = self._engine.lanes
        self.chunk_pipe = self._engine.chunk_pipe
        self.fanout = context.new_fanout(
            chunk_frames=self.ready.geometry.chunk_frames,
            on_frame=None if returns_video else self._on_frame_to_all,
        )
        self.picture = NewestPicture(id, context.pool)
        self.chunk_pipe.outputs += [self.fanout, self.picture]
        self.sound = SoundPipe()
        self._telemetry = StreamTelemetry(
            self.chunk_pipe,
            self.fanout,
            self.sound,
            returns_video=returns_video,
            monitor=self.monitor,
            targets=context.targets,
            metrics=context.metrics,
        )
        self.recorder = StreamRecorder(
            self.id,
            context.recordings,
            fanout=self.fanout,
            sound=self.sound,
            on_change=self._on_recording,
        )
        self.slot = PublisherSlot(
            self.chunk_pipe, self._telemetry, hold_s=hold_s, now_ns=offered_ns
        )
        self._hold_s = hold_s
        self._lifecycle = StreamLifecycle()
        self._announced: StateName = self._lifecycle.state
        self._announced_size = self.chunk_pipe.size
        self._context = context
        self._channel: ParameterChannel | None = None
        self._quality: QualityControl | None = None
        self._ending = asyncio.Event()
        self._told_waiting = 0

    @property
    def is_held(self) -> bool:
        """Whether it waits for its publisher to come back."""
        is_empty = self.slot.publisher is None
        return self._lifecycle.has_been_connected and is_empty and self.end_reason is None

    @property
    def has_been_connected(self) -> bool:
        """Whether any publisher has had a media path."""
        return self._lifecycle.has_been_connected

    @property
    def is_live(self) -> bool:
        """Whether generated frames go out now."""
        return self._lifecycle.state == "live"

    def is_owned_by(self, owner: str) -> bool:
        """Whether that is the publisher who has begun it."""
        return hmac.compare_digest(self._owner.encode(), owner.encode())

    async def open(self, parameters: Parameters, *, spare_lanes: tuple[int, ...] = ()) -> None:
        """Take a lane of the engine.

        Args:
            spare_lanes: see `OpenStream`.

        Raises:
            RequestError, Unavailable: if there is none; the stream holds nothing then.
        """
        await self._engine.open(parameters, spare_lanes=spare_lanes)
        updates = self._engine.updates
        self._quality = quality = QualityControl(
            self.ready,
            updates,
            self.chunk_pipe,
            settings=self._context.ladder,
            targets=self._context.targets,
            device=self._context.device_share,
            metrics=self._context.metrics,
            ask=self._send_to_publisher,
            on_given_way=self._on_given_way,
        )
        self._channel = ParameterChannel(
            updates,
            send=self._send_to_publisher,
            on_first_shown=self.monitor.observe_first_shown,
            on_client_stats=self._on_client_stats,
            on_level_answer=quality.answer,
        )

    def end(self, reason: str) -> None:
        """Begin the end; the first reason counts."""
        if self.end_reason is None:
            self.end_reason = reason
            self._ending.set()

    async def run(self) -> None:
        """Serve until `end`; always give everything back."""
        try:
            async with asyncio.TaskGroup() as group:
                tasks = (
                    group.create_task(self.chunk_pipe.feed(), name="feed"),
                    group.create_task(self.fanout.run(), name="fanout"),
                    group.create_task(self.sound.run(), name="sound"),
                    group.create_task(self._report(), name="report"),
                    group.create_task(self._engine.keep(), name="engine"),
                    group.create_task(self._opened_quality().run(), name="quality"),
                    group.create_task(self._expire(), name="expire"),
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
        """The state of the stream, its model, and the parameters in force."""
        model = msgspec.structs.asdict(describe_model(self.ready))
        size = self.chunk_pipe.size
        model |= {"width_px": size.width_px, "height_px": size.height_px}
        updates = self._engine.updates
        return State(
            state=self._lifecycle.state,
            stream=self.id,
            epoch=self.chunk_pipe.epoch,
            understood=updates.understood,
            lowered=self._quality.lowered if self._quality is not None else "",
            **(model | {"parameters": updates.wanted}),
        )

    # ---- the publisher's call

    def attach(self, publisher: Publisher, *, offered_ns: int | None = None) -> None:
        """Take frames from this publisher from now on; the one before is notified, and ends.

        Args:
            offered_ns: when it came back to the stream; None for the stream's first.
        """
        self.slot.attach(publisher)
        if offered_ns is not None and not self.chunk_pipe.is_paused:
            self._telemetry.begin_call(offered_ns)
        self._lifecycle.on_publisher_attached()
        self._announce()

    def on_connected(self) -> None:
        """The publisher's call has its media path."""
        self.monitor.observe_milestone(Milestone.ICE, now_ns())
        self._lifecycle.on_publisher_connected()
        self._announce()

    def detach(self, publisher: Publisher, reason: str, *, ends_stream: bool) -> None:
        """A publisher's call has ended; the stream is held, unless that call was to end it."""
        if self.slot.publisher is not publisher:
            return
        if ends_stream or not self._lifecycle.has_been_connected or not self._hold_s:
            self.end(reason)
            return
        self.slot.detach(publisher)
        logger.info("stream %s is held for %g s: %s", self.id, self._hold_s, reason)
        self._lifecycle.on_publisher_detached()
        self._announce()

    def receive(self, raw: str | bytes, now_ns: int) -> None:
        """A message of the publisher's page."""
        self._opened_channel().receive(raw, now_ns)

    def tell_waiting(self, callers: int) -> None:
        """Tell the publisher how many callers wait for a place, if that has changed."""
        if callers != self._told_waiting:
            self._told_waiting = callers
            self._send_to_publisher(Waiting(callers=callers))

    def tell_publisher(self, event: Event) -> None:
        """Send its page an event, if there is one."""
        self._send_to_publisher(event)

    def update(self, parameters: Parameters, send: SendEvent) -> bool:
        """Take an update from the HTTP API, answered by `send`; False if there are too many."""
        return self._opened_channel().submit(parameters, now_ns(), send)

    def tracing(self) -> AbstractContextManager[FrameTrace]:
        """Record the frames sent while the block runs. Raises Conflict if they are already."""
        return self._telemetry.tracing()

    def on_frame(self, frame: CapturedFrame) -> None:
        """A frame of the publisher's camera."""
        self._telemetry.frame_received(frame.arrived_ns)
        self.sound.on_captured(frame)
        self.recorder.on_captured(frame)
        self.chunk_pipe.push(frame)

    def on_frame_sent(self, scheduled: ScheduledFrame, sent_ns: int, *, rtp_timestamp: int) -> None:
        """A generated frame goes out."""
        self._telemetry.frame_sent(scheduled, sent_ns)
        self.sound.on_sent(scheduled, sent_ns)
        self._lifecycle.on_frame_sent()
        self._announce()
        frame = scheduled.generated
        self._engine.updates.on_frame_sent(
            rev=frame.rev, chunk=frame.chunk, rtp_timestamp=rtp_timestamp
        )

    def _on_recording(self, state: RecordingState) -> None:
        self.chunk_pipe.send(state)

    def _on_frame_to_all(self, scheduled: ScheduledFrame, sent_ns: int) -> None:
        self.on_frame_sent(scheduled, sent_ns, rtp_timestamp=0)

    def _send_to_publisher(self, event: Event) -> None:
        self.slot.send(event)

    def _opened_channel(self) -> ParameterChannel:
        assert self._channel is not None, "a stream is opened before it is used"
        return self._channel

    def _opened_quality(self) -> QualityControl:
        assert self._quality is not None, "a stream is opened before it is used"
        return self._quality

    def _on_client_stats(self, stats: ClientStats, now_ns: int) -> None:
        self._telemetry.client_stats_received(stats, now_ns)
        self._opened_quality().client_stats_received(stats)

    # ---- the engine

    def _on_paused(self, is_paused: bool) -> None:
        self._lifecycle.on_paused(is_paused)
        if is_paused:
            self._telemetry.end_call(now_ns())
        elif self.slot.publisher is not None:
            self._telemetry.begin_call(now_ns())
        self._announce()

    def _on_given_way(self, gives_way: bool) -> None:
        self._lifecycle.on_given_way(gives_way)
        self._announce()

    def _on_engine_lost(self) -> None:
        self._telemetry.interrupt()
        self._lifecycle.on_engine_lost()
        self._announce()

    def _on_engine_reopened(self) -> None:
        self._opened_quality().restart()
        self._lifecycle.on_engine_opened()
        self._announce()

    # ---- tasks

    def _announce(self) -> None:
        """Send the stream's state to every participant, if it, or its pictures' size, has
        changed."""
        state, size = self._lifecycle.state, self.chunk_pipe.size
        if (state, size) == (self._announced, self._announced_size):
            return
        if state != self._announced:
            logger.info("stream %s: %s -> %s", self.id, self._announced, state)
        self._announced, self._announced_size = state, size
        self.chunk_pipe.send(self.state_event())

    async def _expire(self) -> None:
        await self.slot.expire()
        self.end(f"its viewer did not come back within {self._hold_s:g} s")

    async def _report(self) -> None:
        """Send the figures to every participant and to the metrics, once a second."""
        while True:
            await asyncio.sleep(_REPORT_S)
            publisher = self.slot.publisher
            drops = publisher.drops if publisher is not None else {}
            self.figures = self._telemetry.report(drops)
            self.chunk_pipe.send(self.figures)

    def _release(self) -> None:
        self.chunk_pipe.close()
        self.recorder.close()
        self._opened_quality().close()
        self._telemetry.close()
        reason = self.end_reason or SERVER_STOPS
        self.chunk_pipe.send(StreamStopped.because(reason))
        for participant in self.chunk_pipe.participants:
            participant.end(f"the stream has ended: {reason}")
        self.chunk_pipe.participants.clear()
        logger.info("stream %s ends: %s", self.id, self.end_reason or "cut off")
        self.ended.set()

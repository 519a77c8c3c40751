"""A viewer with a camera, from offer to close: its frames through the engine, and back."""

import asyncio
import logging

import msgspec
from aiortc.mediastreams import MediaStreamError
from slipstream_protocol.clock import NS_PER_MS, NS_PER_S, now_ns
from slipstream_protocol.messages import Applied, UpdateRefused
from slipstream_protocol.parameters import Parameters

from slipstream_server.chunker import Captured
from slipstream_server.control import Control, settled
from slipstream_server.counts import MediaCounts
from slipstream_server.engine_client import EngineClient
from slipstream_server.errors import EngineUnavailable
from slipstream_server.events import (
    PipelineError,
    State,
    StateName,
    StreamStopped,
    describe,
    slo_event,
)
from slipstream_server.ice import IceServer
from slipstream_server.ingest import Ingest
from slipstream_server.playout import Playout, Shown
from slipstream_server.sdp import Offer
from slipstream_server.session import Session, Surroundings
from slipstream_server.slo import Milestone, SloMonitor
from slipstream_server.stream import Stream, Watcher, total_drops
from slipstream_server.track import OutputTrack
from slipstream_server.viewed import ClientStats

logger = logging.getLogger(__name__)

SILENT_NS = 20 * NS_PER_S
_REPORT_S = 1.0
_RETRY_S = 2.0


class CameraSession(Session):
    """One with a camera: its frames through the engine, back, and to all who watch.

    Args:
        name: of the stream, for those who watch it.
        client: the engine.
        returns: whether the picture goes back on the call; a publisher only brings one.
        offered_ns: when the offer came, the zero of its time to first frame.
    """

    def __init__(
        self,
        id: str,
        client: EngineClient,
        *,
        name: str,
        returns: bool,
        servers: tuple[IceServer, ...],
        around: Surroundings,
        offered_ns: int,
    ) -> None:
        ready = client.ready
        chunk_frames = ready.geometry.chunk_frames
        self.broadcast = around.broadcast(
            chunk_frames=chunk_frames, on_shown=None if returns else self._on_sent
        )
        self._playout = self.broadcast.pictures.playout
        output = None
        if returns:
            self._playout = Playout(chunk_frames=chunk_frames)
            output = OutputTrack(self._playout, around.encoding(), on_sent=self._on_sent)
        super().__init__(id, output, output.encoding if output else None, servers, around)
        self.name = name
        self.monitor = SloMonitor(around.targets, offered_ns=offered_ns)
        self.stream = Stream(name, ready, self.monitor, around.metrics, self)
        self.stream.outputs.append(self.broadcast)
        if output is not None:
            self.stream.outputs.append(output)
        self.stream.watchers.append(Watcher(tell=self.peer.tell, end=self.leave))
        self._client = client
        self._state: StateName = "connecting"
        self._heard_ns = offered_ns
        self._sent_ns: int | None = None
        self._ingest: Ingest | None = None
        self._control: Control | None = None

    async def answer(self, offer: Offer, parameters: Parameters) -> str:
        """Take a lane of the engine and make the answer, both at once.

        Raises:
            RequestError, Unavailable: if either cannot be; nothing is held then.
        """
        try:
            async with asyncio.TaskGroup() as parts:
                parts.create_task(self.stream.open(self._client, parameters), name="open stream")
                answer = parts.create_task(self.peer.answer(offer), name="answer")
            if self.reason is not None:
                raise EngineUnavailable(self.reason, retry_after_s=_RETRY_S)
        except BaseException as error:
            self.stream.close()
            await self.peer.close()
            if isinstance(error, BaseExceptionGroup):
                raise error.exceptions[0] from None
            raise
        self._control = Control(
            current=settled(self.stream.ready.defaults.merged(parameters)),
            understood=self.stream.understood,
            apply=self.stream.update,
            tell=self.peer.tell,
            shown=self.monitor.observe_first_shown,
            viewed=self._on_viewed,
        )
        self.monitor.mark(Milestone.SIGNAL, now_ns())
        self.stream.pause(self._control.current.paused is True)
        return answer.result()

    async def serve(self) -> None:
        async with asyncio.TaskGroup() as parts:
            parts.create_task(self.stream.feed(), name="feed")
            parts.create_task(self._report(), name="report")
            parts.create_task(self.broadcast.run(), name="broadcast")
            await self.peer.connected.wait()
            if self.peer.camera is None:
                self.leave("the offer's video brings no camera")
                return
            self._ingest = Ingest(
                self.peer.camera,
                geometry=self.stream.ready.geometry,
                pool=self.around.pool,
                deliver=self._on_frame,
                origin=self.peer.origin,
            )
            parts.create_task(self._drain(self._ingest), name="drain")
            parts.create_task(self._ingest.scale(), name="scale")

    async def release(self) -> None:
        self.stream.close()
        self.around.metrics.forget(self.id)
        reason = self.reason or "the server is stopping"
        self.stream.tell(StreamStopped(error_message=reason))
        for watcher in self.stream.watchers:
            watcher.end(f"the stream has ended: {reason}")
        self.stream.watchers.clear()

    def counts(self) -> MediaCounts:
        """Its own call's, and the picture encoded for all who watch."""
        return super().counts().with_sent(self.broadcast.encoding.counts)

    def state_event(self) -> State:
        """Where the stream stands."""
        assert self._control is not None, "a session is answered before its state is told"
        model = msgspec.structs.asdict(describe(self.stream.ready))
        return State(
            state=self._state,
            stream=self.name,
            understood=self._control.understood,
            **(model | {"parameters": self._control.current}),
        )

    # ---- what the page says

    def on_connected(self) -> None:
        self._heard_ns = now_ns()
        self.monitor.mark(Milestone.ICE, self._heard_ns)
        self._enter("warming")

    def on_channel(self) -> None:
        self.peer.tell(self.state_event())

    def on_message(self, raw: str | bytes, now_ns: int) -> None:
        self._heard_ns = now_ns
        assert self._control is not None, "a channel opens after the answer"
        self._control.receive(raw, now_ns)

    # ---- what the engine says

    def on_applied(self, applied: Applied) -> None:
        assert self._control is not None, "an update is applied after it was sent"
        self._control.applied(applied)
        paused = self._control.current.paused is True
        if paused != self.stream.paused:
            self.stream.pause(paused)
            self._enter("paused" if paused else "warming")

    def on_update_refused(self, refused: UpdateRefused) -> None:
        assert self._control is not None, "an update is refused after it was sent"
        self._control.refused(refused)

    def on_lost(self, reason: str) -> None:
        self.leave(reason)
        if self._control is None:
            return  # `answer` says it
        self._enter("error")
        self.stream.tell(PipelineError(error=reason))

    # ---- from the camera to the screen

    def _on_frame(self, frame: Captured) -> None:
        self._heard_ns = frame.arrived_ns
        self.monitor.observe_input(frame.arrived_ns)
        self.around.metrics.frame_in()
        self.stream.push(frame)

    def _on_sent(self, shown: Shown, sent_ns: int) -> None:
        age_ms = self.monitor.observe_sent(shown, sent_ns)
        gap_ms = None if self._sent_ns is None else (sent_ns - self._sent_ns) / NS_PER_MS
        self._sent_ns = sent_ns
        self.peer.tell_times(shown, sent_ns)
        self.around.metrics.frame_out(age_ms=age_ms, gap_ms=gap_ms)
        if self._state == "warming":
            self._enter("live")
        if self._control is not None:
            self._control.sent(
                rev=shown.made.rev,
                chunk=shown.made.chunk,
                rtp_timestamp=self.peer.last_rtp_timestamp,
            )

    def _on_viewed(self, stats: ClientStats, now_ns: int) -> None:
        self.monitor.observe_client(stats, now_ns)
        self.around.metrics.media.viewed(stats)

    def _enter(self, state: StateName) -> None:
        if state == "warming" and self.stream.paused:
            state = "paused"
        if state != self._state:
            logger.info("stream %s -> %s", self._state, state)
            self._state = state
            self.stream.tell(self.state_event())

    async def _drain(self, ingest: Ingest) -> None:
        try:
            await ingest.drain()
        except MediaStreamError:
            self.leave("the camera's track has ended")

    async def _report(self) -> None:
        """Once a second: the figures to page and metrics, and whether anybody is still there."""
        while True:
            await asyncio.sleep(_REPORT_S)
            now = now_ns()
            report = self.monitor.report(now)
            ingested = self._ingest.drops if self._ingest else {}
            drops = total_drops(self.peer.drops, ingested, self.stream.drops, self._playout.drops)
            self.around.metrics.report(self.id, report, drops)
            self.stream.tell(slo_event(report, self.around.targets, drops))
            if now - self._heard_ns > SILENT_NS:
                self.leave(f"nothing heard from the viewer for {SILENT_NS // NS_PER_S} s")

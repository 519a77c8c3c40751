"""A session from offer to close: its peer connection, its candidates, its liveness, its end."""

import asyncio
import logging
from collections import deque
from collections.abc import Sequence

from aiortc import MediaStreamTrack, RTCIceCandidate

from slipstream_server.control.events import Event
from slipstream_server.ice.ice_servers import IceServer
from slipstream_server.observability.media_metrics import MediaStats
from slipstream_server.rtc.peer_connection import PeerConnection
from slipstream_server.rtc.sound_transceiver import SoundTransceiver
from slipstream_server.rtc.video_transceiver import OutgoingVideo
from slipstream_server.rtp.sdp import MAX_CANDIDATES, Offer
from slipstream_server.streams.media_context import MediaContext

logger = logging.getLogger(__name__)

CONNECT_S = 20.0
LIVENESS_INTERVAL_S = 0.5
PEER_SILENCE_MAX_S = 4.0  # a peer that sends nothing at all for so long has vanished
_REPORT_S = 1.0


class LivenessCheck:
    """For how long a peer has sent nothing, from regular samples of its packet count.

    The silence is the number of samples without a new packet, not a difference of clock times, so
    that a stall of this process is not taken for the peer's silence.
    """

    def __init__(self) -> None:
        self.silent_s = 0.0
        self._packets = -1

    def sample(self, packets: int) -> None:
        """Take the count, `LIVENESS_INTERVAL_S` after the last time."""
        self.silent_s = self.silent_s + LIVENESS_INTERVAL_S if packets == self._packets else 0.0
        self._packets = packets


class Session:
    """One call.

    Args:
        id: for the caller, and in every line of the log.
        output: the video to send; None if none is.
        outgoing: how it is sent; None if none is.
        servers: STUN and TURN, if any.
        context: shared by all sessions.
        wanted_px: width and height that a received picture is scaled to.
        sound: both ways, as far as the offer has it.
    """

    def __init__(
        self,
        id: str,
        output: MediaStreamTrack | None,
        outgoing: OutgoingVideo | None,
        servers: tuple[IceServer, ...],
        context: MediaContext,
        *,
        wanted_px: tuple[int, int] = (0, 0),
        sound: SoundTransceiver,
    ) -> None:
        self.id = id
        self.context = context
        self.end_reason: str | None = None
        self.ends_stream = False
        self._output = output
        self._ending = asyncio.Event()
        self._candidates: deque[RTCIceCandidate | None] = deque()
        self._candidates_received = asyncio.Event()
        self._lookups: set[asyncio.Task[None]] = set()
        self._announced: Event | None = None
        self.peer = PeerConnection(
            output,
            outgoing,
            low_delay=context.video.low_delay,
            servers=servers,
            media_addressing=context.media_addressing,
            media_port=context.media_port,
            wanted_px=wanted_px,
            sound=sound,
            on_open=self._on_channel_open,
            on_message=self.on_message,
        )

    # ---- what the two kinds differ in

    @property
    def silence_max_s(self) -> float:
        """A peer that sends nothing at all for so long has vanished."""
        return PEER_SILENCE_MAX_S

    @property
    def resume_token(self) -> str | None:
        """Brings a publisher back to its stream; None for a call that only watches."""
        return None

    def on_connected(self) -> None:
        """The media path is up."""

    def on_channel(self) -> None:
        """The page's data channel is open."""

    def on_message(self, raw: str | bytes, now_ns: int) -> None:
        """The page has sent a message on the data channel."""

    async def serve(self) -> None:
        """Work until cancelled."""
        await asyncio.Event().wait()

    async def release(self) -> None:
        """Give back what this kind holds."""

    # ---- what they have in common

    async def answer(self, offer: Offer) -> str:
        """The answer's SDP.

        Raises:
            RequestError: if the offer cannot be answered; the session holds nothing then.
        """
        try:
            return await self.peer.answer(offer)
        except BaseException:
            await self.peer.close()
            raise

    def end(self, reason: str, *, ends_stream: bool = False) -> None:
        """Begin the end; the first reason counts.

        Args:
            ends_stream: whether a publisher's stream ends too, instead of being held.
        """
        if self.end_reason is None:
            self.end_reason, self.ends_stream = reason, ends_stream
            self._ending.set()

    def announce(self, event: Event) -> None:
        """Send an event to the page, now or as soon as its data channel is open."""
        self._announced = event
        self.peer.send_event(event)

    def add_candidates(self, candidates: Sequence[RTCIceCandidate | None]) -> None:
        """Add ICE candidates of the peer; None is the end of them.

        Those that come faster than their names can be resolved are ignored.
        """
        waiting = len(self._candidates) + len(self._lookups)
        if waiting + len(candidates) <= MAX_CANDIDATES:
            self._candidates.extend(candidates)
            self._candidates_received.set()

    async def run(self, offer: Offer) -> None:
        """Serve until `end` or until a part fails; always give everything back."""
        logger.info("session begins")
        self.add_candidates(offer.candidates)
        try:
            async with asyncio.TaskGroup() as group:
                tasks = (
                    group.create_task(self._resolve_candidates(), name="candidates"),
                    group.create_task(self._follow_connection(), name="peer"),
                    group.create_task(self._check_liveness(), name="liveness"),
                    group.create_task(self.peer.run(), name="video"),
                    group.create_task(self.serve(), name="serve"),
                    group.create_task(self._report_media(), name="report"),
                )
                await self._ending.wait()
                for task in tasks:
                    task.cancel()
        except Exception:
            logger.exception("session failed")
            self.end("the server has failed in this session; its log has the reason")
        finally:
            self.context.metrics.media.report(self.id, self._media_stats())
            self.context.metrics.media.forget(self.id)
            await self.release()
            await self.peer.close()
            if self._output is not None:
                self._output.stop()
            logger.info("session ends: %s", self.end_reason or "cut off")

    def _on_channel_open(self) -> None:
        self.on_channel()
        if self._announced is not None:
            self.peer.send_event(self._announced)

    def _media_stats(self) -> MediaStats:
        return self.peer.media_stats

    async def _report_media(self) -> None:
        while True:
            await asyncio.sleep(_REPORT_S)
            self.context.metrics.media.report(self.id, self._media_stats())

    async def _resolve_candidates(self) -> None:
        """Add the candidates, whose names are looked up together: each may take a second, and a
        browser's are unknown outside its own network."""
        async with asyncio.TaskGroup() as lookups:
            while True:
                await self._candidates_received.wait()
                self._candidates_received.clear()
                while self._candidates:
                    candidate = self._candidates.popleft()
                    lookup = lookups.create_task(self.peer.add_candidate(candidate), name="lookup")
                    self._lookups.add(lookup)
                    lookup.add_done_callback(self._lookups.discard)

    async def _follow_connection(self) -> None:
        try:
            async with asyncio.timeout(CONNECT_S):
                await self.peer.settled.wait()
        except TimeoutError:
            self.end(f"no connection within {CONNECT_S:g} s; a firewall may block UDP")
            return
        if self.peer.connected.is_set():
            self.on_connected()
        self.end(await asyncio.shield(self.peer.ended))

    async def _check_liveness(self) -> None:
        """End the session when the peer has vanished."""
        await self.peer.connected.wait()
        check = LivenessCheck()
        while check.silent_s < self.silence_max_s:
            await asyncio.sleep(LIVENESS_INTERVAL_S)
            check.sample(self.peer.received_packets)
        self.end(f"nothing received from the viewer for {self.silence_max_s:g} s")

"""What every call is, from offer to close: a peer, an output track, and one way to end."""

import asyncio
import logging
from collections import deque
from collections.abc import Sequence

from aiortc import MediaStreamTrack, RTCIceCandidate

from slipstream_server.ice.gathering import IceServer
from slipstream_server.observability.media_stats import MediaStats
from slipstream_server.rtc.peer_connection import PeerConnection
from slipstream_server.rtc.video_transceiver import Outgoing
from slipstream_server.rtp.sdp import MAX_CANDIDATES, Offer
from slipstream_server.sessions.liveness import LOOK_S, SILENT_S, LivenessCheck
from slipstream_server.streams.media_context import MediaContext

logger = logging.getLogger(__name__)

CONNECT_S = 20.0
_COUNT_S = 1.0


class Session:
    """What both kinds have in common: a peer, an output track, and one way to end.

    Args:
        id: for the caller, and in every line of the log.
        output: the picture to send; None if none is.
        outgoing: how it is sent; None if none is.
        servers: STUN and TURN, if any.
        context: shared by all sessions.
    """

    def __init__(
        self,
        id: str,
        output: MediaStreamTrack | None,
        outgoing: Outgoing | None,
        servers: tuple[IceServer, ...],
        context: MediaContext,
    ) -> None:
        self.id = id
        self.context = context
        self._output = output
        self.reason: str | None = None
        self.ends_stream = False
        self._leaving = asyncio.Event()
        self._addresses: deque[RTCIceCandidate | None] = deque()
        self._addresses_came = asyncio.Event()
        self.peer = PeerConnection(
            output,
            outgoing,
            low_delay=context.video.low_delay,
            servers=servers,
            media_addressing=context.media_addressing,
            on_open=self.on_channel,
            on_message=self.on_message,
        )

    def leave(self, reason: str, *, ends_stream: bool = False) -> None:
        """Begin the end; the first reason counts.

        Args:
            ends_stream: nobody is going to come back to what this call was about.
        """
        if self.reason is None:
            self.reason, self.ends_stream = reason, ends_stream
            self._leaving.set()

    def on_channel(self) -> None:
        """The page's data channel is open."""

    def on_message(self, raw: str | bytes, now_ns: int) -> None:
        """The page has said something."""

    def on_connected(self) -> None:
        """The peers can hear each other."""

    @property
    def silent_s(self) -> float:
        """A peer that sends nothing at all for so long has vanished."""
        return SILENT_S

    def trickle(self, candidates: Sequence[RTCIceCandidate | None]) -> None:
        """Learn of further addresses of the viewer; those that come faster than they can be
        looked up are left out."""
        if len(self._addresses) + len(candidates) <= MAX_CANDIDATES:
            self._addresses.extend(candidates)
            self._addresses_came.set()

    def counts(self) -> MediaStats:
        """What its media have come to so far."""
        return self.peer.media_stats

    async def serve(self) -> None:
        """Work until cancelled."""
        await asyncio.Event().wait()

    async def release(self) -> None:
        """Give back what this kind holds."""

    async def run(self, offer: Offer) -> None:
        """Serve until the viewer leaves or a part fails; always give everything back."""
        logger.info("session begins")
        self.trickle(offer.candidates)
        try:
            async with asyncio.TaskGroup() as parts:
                tasks = (
                    parts.create_task(self._add_addresses(), name="addresses"),
                    parts.create_task(self._watch_peer(), name="peer"),
                    parts.create_task(self._listen(), name="listen"),
                    parts.create_task(self.peer.run(), name="video"),
                    parts.create_task(self.serve(), name="serve"),
                    parts.create_task(self._count(), name="count"),
                )
                await self._leaving.wait()
                for task in tasks:
                    task.cancel()
        except Exception:
            logger.exception("session failed")
            self.leave("the server has failed in this session; its log has the reason")
        finally:
            self.context.metrics.media.report(self.id, self.counts())
            self.context.metrics.media.forget(self.id)
            await self.release()
            await self.peer.close()
            if self._output is not None:
                self._output.stop()
            logger.info("session ends: %s", self.reason or "cut off")

    async def _count(self) -> None:
        while True:
            await asyncio.sleep(_COUNT_S)
            self.context.metrics.media.report(self.id, self.counts())

    async def _add_addresses(self) -> None:
        while True:
            await self._addresses_came.wait()
            self._addresses_came.clear()
            while self._addresses:
                await self.peer.add_candidate(self._addresses.popleft())

    async def _watch_peer(self) -> None:
        try:
            async with asyncio.timeout(CONNECT_S):
                await self.peer.connected.wait()
        except TimeoutError:
            self.leave(f"no connection within {CONNECT_S:g} s; a firewall may block UDP")
            return
        self.on_connected()
        self.leave(await asyncio.shield(self.peer.ended))

    async def _listen(self) -> None:
        """Notice a peer that has vanished."""
        await self.peer.connected.wait()
        silence = LivenessCheck()
        while silence.seconds < self.silent_s:
            await asyncio.sleep(LOOK_S)
            silence.look(self.peer.received_packets)
        self.leave(f"nothing heard from the viewer for {self.silent_s:g} s")

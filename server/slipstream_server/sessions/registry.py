"""All sessions of this server: opened, found, closed."""

import asyncio
import logging
import secrets
import time

from slipstream_protocol.clock import now_ns, since_boot_s

from slipstream_server.config import ServerConfig
from slipstream_server.engine.child_process import background
from slipstream_server.ice.credential_clock import CredentialClock
from slipstream_server.ice.ice_servers import IceServer, ice_servers
from slipstream_server.ice.turn_providers import TurnProviders
from slipstream_server.ice.url_choice import MAX_URLS, choose_urls
from slipstream_server.live_registry import LiveRegistry
from slipstream_server.observability.metrics import CallCounts, CpuCores
from slipstream_server.send.bandwidth import START_BPS
from slipstream_server.sessions.cpu_budget import CpuBudget
from slipstream_server.sessions.cpu_meter import keep_measuring
from slipstream_server.sessions.drain import Drain
from slipstream_server.sessions.opener import SessionOpener
from slipstream_server.sessions.owner_proofs import OwnerProofs
from slipstream_server.sessions.session import Session
from slipstream_server.sessions.uplink_budget import UplinkBudget
from slipstream_server.streams.media_context import MediaContext
from slipstream_server.streams.ports import EngineProvider
from slipstream_server.streams.registry import StreamRegistry
from slipstream_server.streams.resume_tokens import ResumeTokens
from slipstream_server.streams.stream import Stream

logger = logging.getLogger(__name__)

_CLOSE_S = 3.0
_TELL_LINE_S = 1.0


class SessionRegistry:
    """Opens (by `opener`), finds and closes sessions.

    Args:
        config: the limits, and STUN and TURN.
        engines: the running engine, and the ones after it.
        context: shared by all sessions.
        turn_providers: hosted TURN servers, whose credentials are fetched.
        resume_tokens: bring publishers back to their streams.
    """

    def __init__(
        self,
        config: ServerConfig,
        engines: EngineProvider,
        context: MediaContext,
        *,
        turn_providers: TurnProviders,
        resume_tokens: ResumeTokens,
    ) -> None:
        self._config = config
        self._turn_providers = turn_providers
        self._credential_clock = CredentialClock()
        self._engines = engines
        self._cpu = CpuBudget(share=config.max_cpu_share)
        context.metrics.watch_cpu(self._cpu_cores)
        self._uplink = UplinkBudget(
            limit_mbps=config.max_send_mbps, start_bps=min(START_BPS, config.video_kbps * 1000)
        )
        self._streams = StreamRegistry(
            engines, context, resume_tokens, hold_s=config.hold_s, refusal=self._stream_refusal
        )
        self._sessions: LiveRegistry[Session] = LiveRegistry(
            "session", advice="POST an offer to get a session"
        )
        self._proofs = OwnerProofs(secrets.token_bytes(32))
        self.opener = SessionOpener(
            config,
            context,
            self._sessions,
            self._streams,
            self._proofs,
            ice_servers=self.ice_servers,
            viewer_refusal=lambda: self._uplink_refusal(self._streams.count_returning()),
        )
        context.metrics.watch_line(lambda: self.opener.turns.leavings)

    @property
    def hold_s(self) -> float:
        """How long a stream is kept for its publisher to come back."""
        return self._config.hold_s

    def count(self) -> CallCounts:
        """The calls and held streams now."""
        subscribers = self.opener.count_subscribers()
        return CallCounts(
            publishers=len(list(self._sessions)) - subscribers,
            subscribers=subscribers,
            held=self._streams.count_held(),
            waiting=self.opener.turns.count(),
        )

    def streams(self) -> list[Stream]:
        """All streams, the oldest first."""
        return self._streams.live()

    def free_streams(self) -> int:
        """Streams more that there is room for now."""
        return self._streams.free_places()

    def stream(self, name: str) -> Stream:
        """The stream.

        Raises:
            UnknownSession: if there is none, with the reason it ended where that is known.
        """
        return self._streams.find(name)

    def newest_stream(self) -> Stream:
        """The newest stream, one with a publisher if there is any.

        Raises:
            UnknownSession: if there is none.
        """
        return self._streams.newest()

    def is_owner(self, id: str, proof: str) -> bool:
        """Whether this proof came with the answer to the session's offer, ended or not."""
        return self._proofs.is_owner(id, proof)

    def is_live(self, id: str) -> bool:
        """Whether there is such a session now."""
        return self._sessions.get(id) is not None

    def has_ended(self, id: str) -> bool:
        """Whether there was such a session; the last ones are remembered."""
        return self._sessions.has_ended(id)

    def find(self, id: str) -> Session:
        """The session.

        Raises:
            UnknownSession: if there is none, with the reason it ended where that is known.
        """
        return self._sessions.find(id)

    def ice_servers(self, name: str) -> tuple[IceServer, ...]:
        """The STUN and TURN servers for both ends of a call, with credentials for `name`."""
        boot_s = since_boot_s()
        now_s = self._credential_clock.now_s(wall_s=time.time(), boot_s=boot_s)
        configured = ice_servers(self._config, name=name, now_s=int(now_s))
        hosted = self._turn_providers.valid_servers(boot_s)
        chosen = choose_urls([one.urls for one in hosted], most=MAX_URLS - len(configured))
        return configured + tuple(one for one in hosted if one.urls in chosen)[: len(chosen)]

    async def close(self, id: str, reason: str = "closed by the viewer") -> None:
        """End a session, with the stream it publishes, and wait until all is given back.

        Raises:
            UnknownSession: as `find`.
        """
        session = self._sessions.get(id)
        if session is not None:
            session.end(reason, ends_stream=True)
            await self._sessions.wait(session, timeout_s=_CLOSE_S)
        if not await self._streams.end_held(id, reason) and session is None:
            self.find(id)

    async def keep_measuring(self) -> None:
        """Measure what streams cost the processor, until cancelled."""
        await keep_measuring(
            self._cpu,
            engine_pid=lambda: self._engines.status.pid,
            sending=lambda: sum(one.is_live for one in self.streams()),
            calls=lambda: [session.id for session in self._sessions],
        )

    async def keep_telling_line(self) -> None:
        """Tell publishers how many callers wait for a place, until cancelled."""
        while True:
            await asyncio.sleep(_TELL_LINE_S)
            callers = self.opener.turns.count()
            for stream in self.streams():
                stream.tell_waiting(callers)

    def _stream_refusal(self, streams: int, *, returning: int | None) -> str | None:
        """See `StreamRefusal`."""
        if (reason := self._cpu.refusal(streams)) or returning is None:
            return reason
        return self._uplink_refusal(returning)

    def _uplink_refusal(self, publishers: int) -> str | None:
        """Why the line has no room for one more picture beside those of the viewers and so many
        publishers; None where it has."""
        known = (session.peer.media_stats.bitrate_bps for session in self._sessions)
        bitrates_bps = [bitrate_bps for bitrate_bps in known if bitrate_bps is not None]
        return self._uplink.refusal(publishers + self.opener.count_viewers(), bitrates_bps)

    def _cpu_cores(self) -> CpuCores:
        return CpuCores(stream=self._cpu.stream_cores, engine=self._cpu.engine_cores)

    def check_open(self) -> None:
        """Raise ServerStops if no new sessions are opened any more."""
        self.opener.check_open()

    async def drain(self, drain_s: float, *, ends_calls: asyncio.Event) -> None:
        """Open no more sessions, and return when the last one is over: held streams have nobody to
        wait for.

        Args:
            drain_s: for how long to wait at most.
            ends_calls: is set where it is not to wait any more.
        """
        self._begin_drain(0 if ends_calls.is_set() else drain_s)
        calls = self.count()
        logger.info(
            "stopping; calls now: %d publish, %d watch", calls.publishers, calls.subscribers
        )
        async with (
            background(self._sessions.idle(), name="last call") as idle,
            background(ends_calls.wait(), name="end of calls") as asked,
        ):
            await asyncio.wait((idle, asked), timeout=drain_s, return_when=asyncio.FIRST_COMPLETED)

    async def close_all(self, reason: str) -> None:
        """End every session and every stream; no more are opened."""
        if self.opener.drain is None:
            self._begin_drain(0)
        self.opener.stop_reason = reason
        await self._sessions.end_all(
            lambda session: session.end(reason, ends_stream=True), timeout_s=_CLOSE_S
        )
        await self._streams.end_all(reason)

    def _begin_drain(self, drain_s: float) -> None:
        """Open no more sessions, and tell the callers when theirs will end.

        Args:
            drain_s: until `close_all`, at the latest.
        """
        drain = self.opener.drain = Drain(
            drain_s=drain_s, now_ns=now_ns(), hands_over=self._config.hand_over
        )
        if drain_s > 0:
            for session in self._sessions:
                session.announce(drain.notice(now_ns(), resume_token=session.resume_token))

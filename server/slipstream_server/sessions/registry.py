"""All calls of this server: who may come in, who is here, and who has left."""

import asyncio
import contextvars
import logging
import secrets
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from slipstream_protocol.clock import now_ns
from slipstream_protocol.parameters import Parameters

from slipstream_server.config import ServerConfig
from slipstream_server.errors import (
    Conflict,
    RequestError,
    ServerFull,
    UnknownSession,
    subscribers_full,
)
from slipstream_server.ice.gathering import IceServer, ice_servers
from slipstream_server.ice.turn_providers import TurnProviders
from slipstream_server.observability.slo import Milestone
from slipstream_server.rtp.sdp import Offer
from slipstream_server.sessions.liveness import SILENT_S
from slipstream_server.sessions.publisher import PublisherSession
from slipstream_server.sessions.session import Session
from slipstream_server.sessions.subscriber import SubscriberSession
from slipstream_server.streams.media_context import MediaContext
from slipstream_server.streams.ports import EngineProvider
from slipstream_server.streams.registry import StreamRegistry, check_lasting
from slipstream_server.streams.stream import Stream

logger = logging.getLogger(__name__)

session_id: contextvars.ContextVar[str] = contextvars.ContextVar("session_id", default="-")

OpenSession = Callable[[str], Awaitable[tuple[Session, "CallAnswer"]]]

_REMEMBERED = 256
_CLOSE_S = 3.0


@dataclass(frozen=True, slots=True, kw_only=True)
class CallAnswer:
    """What a caller is told.

    Args:
        session: the id of this call.
        sdp: the answer.
        stream: the id of the stream it carries or watches.
        resume: the secret to come back with, for the one who brings the camera.
    """

    session: str
    sdp: str
    stream: str
    resume: str | None


class SessionRegistry:
    """Opens, finds and closes sessions.

    Args:
        config: the limits, and STUN and TURN.
        engine: where streams are made.
        context: shared by all sessions.
        turn_providers: hosted TURN servers, whose credentials are fetched.
        id_prefix: what ids begin with.
    """

    def __init__(
        self,
        config: ServerConfig,
        engine: EngineProvider,
        context: MediaContext,
        *,
        turn_providers: TurnProviders,
        id_prefix: str = "",
    ) -> None:
        self._config = config
        self._id_prefix = id_prefix
        self._turn_providers = turn_providers
        self._context = context
        self._streams = StreamRegistry(engine, context, hold_s=config.hold_s)
        self._live: dict[str, tuple[Session, asyncio.Task[None]]] = {}
        self._arriving = 0  # watchers who are being answered
        self._publishing: set[str] = set()  # names of publishers who are being answered
        self._left: OrderedDict[str, str] = OrderedDict()
        self._stop_reason = ""

    @property
    def hold_s(self) -> float:
        """How long a stream is kept for its viewer to come back."""
        return self._config.hold_s

    def count(self) -> dict[str, int]:
        """Calls now, by kind; `held` are streams whose viewers may come back."""
        watching = sum(isinstance(session, SubscriberSession) for session, _ in self._live.values())
        return {
            "stream": len(self._live) - watching,
            "viewer": watching,
            "held": self._streams.count_held(),
        }

    async def offer(
        self,
        offer: Offer,
        parameters: Parameters,
        *,
        view: str | None = None,
        resume: str | None = None,
    ) -> CallAnswer:
        """Let a caller in.

        Args:
            view: the stream to watch, for a caller without a camera; the newest if None.
            resume: the token of the stream to come back to, for one with a camera.

        Raises:
            RequestError, Unavailable: why not.
        """
        if not offer.sends_video:
            return await self._admit(offer, lambda id: self._let_watcher_in(id, offer, view))
        if resume is not None:
            stream = self._streams.resumed(resume)
            return await self._admit(offer, lambda id: self._let_back_in(id, offer, stream))
        return await self._admit(
            offer, lambda id: self._let_camera_in(id, offer, parameters, name=id, returns=True)
        )

    async def publish(self, offer: Offer, parameters: Parameters, *, name: str) -> CallAnswer:
        """Let a publisher in, who brings a camera and wants no picture back.

        Args:
            name: of the stream; one that is held for its publisher goes on as it was.

        Raises:
            RequestError, Unavailable: why not.
        """
        known = next((stream for stream in self._streams.all() if stream.id == name), None)
        comes_back = known is not None and known.is_held and not known.returns
        if name in self._publishing or (known is not None and not comes_back):
            raise Conflict(
                f"stream {name!r} has a publisher; choose another name, or end that one first "
                f"(one that vanishes makes room after {SILENT_S:g} s)"
            )
        self._publishing.add(name)
        try:
            if known is not None:
                return await self._admit(offer, lambda id: self._let_back_in(id, offer, known))
            return await self._admit(
                offer,
                lambda id: self._let_camera_in(id, offer, parameters, name=name, returns=False),
            )
        finally:
            self._publishing.remove(name)

    async def watch(self, offer: Offer, *, name: str | None) -> CallAnswer:
        """Let a viewer in, to the newest stream if `name` is None.

        Raises:
            RequestError, Unavailable: why not.
        """
        return await self._admit(offer, lambda id: self._let_watcher_in(id, offer, name))

    async def _admit(self, offer: Offer, let_in: OpenSession) -> CallAnswer:
        """Give a caller a session, and run it."""
        if self._stop_reason:
            raise ServerFull("the server is stopping; start it again first", retry_after_s=10.0)
        id = self._id_prefix + secrets.token_urlsafe(9)
        token = session_id.set(id)
        try:
            session, answered = await let_in(id)
            self._live[id] = (
                session,
                asyncio.create_task(self._run(session, offer), name=f"session {id}"),
            )
            if self._stop_reason:  # since it was let in: `close_all` did not see it
                session.leave(self._stop_reason, ends_stream=True)
        finally:
            session_id.reset(token)
        return answered

    def streams(self) -> list[Stream]:
        """All streams, the oldest first."""
        return self._streams.all()

    def stream(self, name: str) -> Stream:
        """The stream.

        Raises:
            UnknownSession: if there is none, with the reason it ended where that is known.
        """
        return self._streams.find(name)

    def is_live(self, id: str) -> bool:
        """Whether there is such a session now."""
        return id in self._live

    def find(self, id: str) -> Session:
        """The session.

        Raises:
            UnknownSession: if there is none, with the reason it ended where that is known.
        """
        if id in self._live:
            return self._live[id][0]
        if id in self._left:
            raise UnknownSession(
                f"session {id!r} has ended ({self._left[id]}); make a new offer to start another"
            )
        raise UnknownSession(f"session {id!r} is unknown; POST an offer to get a session")

    async def close(self, id: str, reason: str = "closed by the viewer") -> None:
        """End a session, with the stream it carries, and wait until all is given back.

        Raises:
            UnknownSession: as `find`.
        """
        live = self._live.get(id)
        if live is not None:
            session, task = live
            session.leave(reason, ends_stream=True)
            await asyncio.wait((task,), timeout=_CLOSE_S)
        if not await self._streams.end_held(id, reason) and live is None:
            self.find(id)

    async def close_all(self, reason: str) -> None:
        """End every session; no more are let in."""
        self._stop_reason = reason
        tasks = []
        for session, task in self._live.values():
            session.leave(reason, ends_stream=True)
            tasks.append(task)
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=_CLOSE_S)
            for task in late:
                task.cancel()
        await self._streams.end_all(reason)

    def ice_servers(self, name: str) -> tuple[IceServer, ...]:
        """The servers that both ends of a call may use, with credentials for `name`."""
        now_s = time.time()
        configured = ice_servers(self._config, name=name, now_s=int(now_s))
        return configured + self._turn_providers.valid_servers(now_s)

    async def _let_camera_in(
        self, id: str, offer: Offer, parameters: Parameters, *, name: str, returns: bool
    ) -> tuple[Session, CallAnswer]:
        """A new stream, opened while the answer is made."""
        stream = self._streams.prepare(name, returns=returns, offered_ns=now_ns())
        session = self._camera_session(id, stream)
        try:
            async with asyncio.TaskGroup() as parts:
                parts.create_task(self._streams.open(stream, parameters), name="open stream")
                answer = parts.create_task(session.answer(offer), name="answer")
        except BaseException as error:
            stream.chunk_pipe.close()
            await session.peer.close()
            if isinstance(error, BaseExceptionGroup):
                raise error.exceptions[0] from None
            raise
        stream.monitor.observe_milestone(Milestone.SIGNAL, now_ns())
        stream.carry(session)
        self._streams.begin(stream)
        return session, self._answered(session, answer.result())

    async def _let_back_in(
        self, id: str, offer: Offer, stream: Stream
    ) -> tuple[Session, CallAnswer]:
        """A new call for a stream that is there."""
        session = self._camera_session(id, stream)
        answer = await session.answer(offer)
        try:
            check_lasting(stream)  # it may have ended meanwhile
            stream.carry(session)
        except BaseException:
            await session.peer.close()
            raise
        return session, self._answered(session, answer)

    def _camera_session(self, id: str, stream: Stream) -> PublisherSession:
        return PublisherSession(id, stream, servers=self.ice_servers(id), context=self._context)

    def _answered(self, session: PublisherSession, answer: str) -> CallAnswer:
        stream = session.stream
        return CallAnswer(session=session.id, sdp=answer, stream=stream.id, resume=stream.token)

    async def _let_watcher_in(
        self, id: str, offer: Offer, view: str | None
    ) -> tuple[Session, CallAnswer]:
        stream = self._watched_stream(view)
        if self.count()["viewer"] + self._arriving >= self._config.max_viewers:
            raise subscribers_full(self._config.max_viewers, retry_after_s=10.0)
        session = SubscriberSession(id, stream, servers=self.ice_servers(id), context=self._context)
        self._arriving += 1
        try:
            answer = await session.answer(offer)
        finally:
            self._arriving -= 1
        return session, CallAnswer(session=id, sdp=answer, stream=stream.id, resume=None)

    def _watched_stream(self, view: str | None) -> Stream:
        if view is None:
            return self._streams.newest()
        if view in self._live and isinstance(self._live[view][0], SubscriberSession):
            raise RequestError(f"session {view!r} only watches itself; name a stream")
        return self._streams.find(view)

    async def _run(self, session: Session, offer: Offer) -> None:
        try:
            await session.run(offer)
        finally:
            del self._live[session.id]
            self._left[session.id] = session.reason or "cut off"
            while len(self._left) > _REMEMBERED:
                self._left.popitem(last=False)

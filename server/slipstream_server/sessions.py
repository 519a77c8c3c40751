"""All calls of this server: who may come in, who is here, and who has left."""

import asyncio
import contextvars
import logging
import secrets
import time
from collections import OrderedDict
from typing import Protocol

from slipstream_protocol.clock import now_ns
from slipstream_protocol.parameters import Parameters

from slipstream_server.camera_session import CameraSession
from slipstream_server.config import ServerConfig
from slipstream_server.engine_client import EngineClient
from slipstream_server.engine_status import EngineStatus
from slipstream_server.errors import RequestError, ServerFull, UnknownSession
from slipstream_server.ice import IceServer, ice_servers
from slipstream_server.sdp import Offer
from slipstream_server.session import Session, Surroundings
from slipstream_server.trunk import Census, StreamTold
from slipstream_server.watch_session import WatchSession

logger = logging.getLogger(__name__)

session_id: contextvars.ContextVar[str] = contextvars.ContextVar("session_id", default="-")

_REMEMBERED = 256
_CLOSE_S = 3.0


class Engine(Protocol):
    """What is asked of the supervisor."""

    @property
    def status(self) -> EngineStatus: ...

    def require(self) -> EngineClient:
        """The running engine. Raises EngineUnavailable."""
        ...


class Sessions:
    """Opens, finds and closes sessions.

    Args:
        config: the limits, and STUN and TURN.
        engine: where streams are made.
        around: shared by all sessions.
        mark: what ids begin with.
    """

    def __init__(
        self, config: ServerConfig, engine: Engine, around: Surroundings, *, mark: str = ""
    ) -> None:
        self._config = config
        self._mark = mark
        self._engine = engine
        self._around = around
        self._live: dict[str, tuple[Session, asyncio.Task[None]]] = {}
        self._arriving = 0  # watchers who are being answered
        self._left: OrderedDict[str, str] = OrderedDict()
        self._stopping = False

    def count(self) -> dict[str, int]:
        """Calls now, by kind."""
        watching = sum(isinstance(session, WatchSession) for session, _ in self._live.values())
        return {"stream": len(self._live) - watching, "viewer": watching}

    def census(self) -> Census:
        """Who is here, for another process."""
        streams = [one for one, _ in self._live.values() if isinstance(one, CameraSession)]
        calls = self.count()
        return Census(
            streams=tuple(StreamTold(name=s.id, since_ns=s.since_ns) for s in streams),
            cameras=calls["stream"],
            viewers=calls["viewer"],
        )

    async def offer(
        self, offer: Offer, parameters: Parameters, *, view: str | None
    ) -> tuple[str, str]:
        """Let a caller in.

        Args:
            view: the stream to watch, for a caller without a camera; the newest if None.

        Returns:
            the session's id and the answer's SDP.

        Raises:
            RequestError, Unavailable: why not.
        """
        if self._stopping:
            raise ServerFull("the server is stopping; start it again first", retry_after_s=10.0)
        offered_ns = now_ns()
        id = self._mark + secrets.token_urlsafe(9)
        token = session_id.set(id)
        try:
            session: Session
            if offer.sends_video:
                session, answer = await self._let_camera_in(id, offer, parameters, offered_ns)
            else:
                session, answer = await self._let_watcher_in(id, offer, view)
            self._live[id] = (
                session,
                asyncio.create_task(self._run(session, offer), name=f"session {id}"),
            )
        finally:
            session_id.reset(token)
        return id, answer

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
        """End a session and wait until it has given everything back.

        Raises:
            UnknownSession: as `find`.
        """
        self.find(id).leave(reason)
        _, task = self._live[id]
        await asyncio.wait((task,), timeout=_CLOSE_S)

    async def close_all(self, reason: str) -> None:
        """End every session; no more are let in."""
        self._stopping = True
        tasks = []
        for session, task in self._live.values():
            session.leave(reason)
            tasks.append(task)
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=_CLOSE_S)
            for task in late:
                task.cancel()

    def ice_servers(self, name: str) -> tuple[IceServer, ...]:
        return ice_servers(self._config, name=name, now_s=int(time.time()))

    async def _let_camera_in(
        self, id: str, offer: Offer, parameters: Parameters, offered_ns: int
    ) -> tuple[Session, str]:
        session = CameraSession(
            id,
            self._engine.require(),
            name=id,
            returns=True,
            servers=self.ice_servers(id),
            around=self._around,
            offered_ns=offered_ns,
        )
        return session, await session.answer(offer, parameters)

    async def _let_watcher_in(self, id: str, offer: Offer, view: str | None) -> tuple[Session, str]:
        source = self._source(view)
        if self.count()["viewer"] + self._arriving >= self._config.max_viewers:
            raise ServerFull(
                f"{self._config.max_viewers} viewers are watching already; wait until one leaves, "
                "or start the server with a larger --max-viewers",
                retry_after_s=10.0,
            )
        session = WatchSession(id, source, servers=self.ice_servers(id), around=self._around)
        self._arriving += 1
        try:
            return session, await session.answer(offer)
        finally:
            self._arriving -= 1

    def _source(self, view: str | None) -> CameraSession:
        cameras = [s for s, _ in self._live.values() if isinstance(s, CameraSession)]
        if view is not None:
            session = self.find(view)
            if not isinstance(session, CameraSession):
                raise RequestError(f"session {view!r} only watches itself; name a stream")
            return session
        if not cameras:
            raise UnknownSession("there is no stream to watch; start one on the studio page first")
        return cameras[-1]

    async def _run(self, session: Session, offer: Offer) -> None:
        try:
            await session.run(offer)
        finally:
            del self._live[session.id]
            self._left[session.id] = session.reason or "cut off"
            while len(self._left) > _REMEMBERED:
                self._left.popitem(last=False)

"""How sessions are opened: an offer is answered, and the session started, with its stream."""

import asyncio
import contextlib
import contextvars
import secrets
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass
from typing import Any

from slipstream_protocol.clock import now_ns
from slipstream_protocol.parameters import Parameters

from slipstream_server.config import ServerConfig
from slipstream_server.errors import Forbidden, ServerFull
from slipstream_server.ice.ice_servers import IceServer
from slipstream_server.live_registry import LiveRegistry
from slipstream_server.observability.slo_report import Milestone
from slipstream_server.rtp.sdp import Offer
from slipstream_server.sessions.drain import Drain
from slipstream_server.sessions.joining import JoiningCalls, has_publisher
from slipstream_server.sessions.owner_proofs import OwnerProofs
from slipstream_server.sessions.publisher import PublisherSession
from slipstream_server.sessions.session import Session
from slipstream_server.sessions.subscriber import SubscriberSession
from slipstream_server.sessions.turns import ANY_PLACE, PlaceRequest, Turns
from slipstream_server.streams.media_context import MediaContext
from slipstream_server.streams.registry import StreamRegistry, check_not_ended
from slipstream_server.streams.resume_tokens import stream_of
from slipstream_server.streams.stream import Stream

_RETRY_S = 10.0

# of the session on whose behalf something is done, for the log
session_id: contextvars.ContextVar[str] = contextvars.ContextVar("session_id", default="-")


@dataclass(frozen=True, slots=True, kw_only=True)
class CallAnswer:
    """The answer to an offer.

    Args:
        session_id: of the new session.
        session_address: the same with the proof that it is the caller's own.
        sdp: the answer's SDP.
        stream_id: of the stream that is published or watched.
        resume_token: brings a publisher back to its stream; None for a subscriber.
    """

    session_id: str
    session_address: str
    sdp: str
    stream_id: str
    resume_token: str | None


class SessionOpener:
    """Opens sessions, within the limits.

    Args:
        config: has the limits.
        context: shared by all sessions.
        sessions: where a session is started.
        streams: where its stream is found, or is opened and started.
        proofs: that a session is its caller's own.
        ice_servers: gives the STUN and TURN servers of a session, by its id.
        viewer_refusal: why there is no room for the picture of one more viewer; None where there
            is.
    """

    def __init__(
        self,
        config: ServerConfig,
        context: MediaContext,
        sessions: LiveRegistry[Session],
        streams: StreamRegistry,
        proofs: OwnerProofs,
        *,
        ice_servers: Callable[[str], tuple[IceServer, ...]],
        viewer_refusal: Callable[[], str | None],
    ) -> None:
        self.drain: Drain | None = None  # no session is opened once there is one
        self.stop_reason = ""  # one that has just been opened is ended once there is one
        self._context = context
        self._sessions = sessions
        self._streams = streams
        self._proofs = proofs
        self._ice_servers = ice_servers
        self._viewer_refusal = viewer_refusal
        self.turns = Turns(places=config.max_waiting, clock=now_ns)
        self._joining = JoiningCalls(max_streams=config.max_streams, max_viewers=config.max_viewers)

    def check_open(self) -> None:
        """Raise ServerStops if no session is opened any more."""
        if self.drain is not None:
            raise self.drain.refusal(now_ns())

    def count_subscribers(self) -> int:
        """Subscribers now, without those that are being answered."""
        return sum(isinstance(session, SubscriberSession) for session in self._sessions)

    def count_viewers(self) -> int:
        """Subscribers now, with those that are being answered."""
        return self.count_subscribers() + self._joining.subscribers

    async def offer(
        self,
        offer: Offer,
        parameters: Parameters,
        *,
        client: str = "",
        view: str | None = None,
        resume: str | None = None,
        place: PlaceRequest = ANY_PLACE,
    ) -> CallAnswer:
        """Open a session for a page: a publisher if the offer sends video, else a subscriber.

        Args:
            parameters: a new stream begins with.
            client: the address that the caller's calls are counted under; empty: they are not.
            view: the stream to watch, for a subscriber; the newest if None.
            resume: the token of the stream to come back to, for a publisher. One of a server that
                was stopped is begun anew, under its id.
            place: that a new stream is to have.

        Raises:
            RequestError, Unavailable: if none can be opened.
        """
        if not offer.sends_video:
            return await self.subscribe(offer, name=view)
        if resume is not None:
            held = self._streams.find_by_token(resume)
            if held is not None:
                return await self._open_on_held(offer, held)
        # the name of a new stream is not the id of the call, which nobody else is told
        name = secrets.token_urlsafe(9) if resume is None else stream_of(resume)
        with self._joining.name(name):
            return await self._open_in_turn(
                offer, parameters, place, name=name, returns_video=True, client=client
            )

    async def publish(
        self,
        offer: Offer,
        parameters: Parameters,
        *,
        name: str,
        owner: str = "",
        is_admin: bool = False,
        client: str = "",
        place: PlaceRequest = ANY_PLACE,
    ) -> CallAnswer:
        """Open a session for a publisher that is sent no video.

        Args:
            parameters: a new stream begins with.
            name: of the stream; one that is held for its publisher, or whose publisher does not
                answer any more, goes on as it was.
            owner: tells publishers apart: a stream goes on for the one that began it.
            is_admin: whether the caller may take any stream.
            place: that a new stream is to have.

        Raises:
            Forbidden: if the stream is another's.
            RequestError, Unavailable: if none can be opened.
        """
        with self._joining.name(name):
            known = next((one for one in self._streams.live() if one.id == name), None)
            if known is None:
                return await self._open_in_turn(
                    offer,
                    parameters,
                    place,
                    name=name,
                    returns_video=False,
                    owner=owner,
                    client=client,
                )
            if not (is_admin or known.is_owned_by(owner)):
                raise Forbidden(
                    f"stream {name!r} is another publisher's, also while that one is away; publish "
                    "with the token that it began with, or choose another name"
                )
            if known.returns_video or not (known.is_held or await self._is_abandoned(known)):
                raise has_publisher(name)
            return await self._open_on_held(offer, known)

    async def subscribe(self, offer: Offer, *, name: str | None) -> CallAnswer:
        """Open a session for a subscriber, of the newest stream if `name` is None.

        Raises:
            RequestError, Unavailable: if none can be opened.
        """
        with self._new_session_id() as id:
            stream = self.watched_stream(name)
            if reason := self._viewer_refusal():
                raise ServerFull(reason, retry_after_s=_RETRY_S)
            with self._joining.subscriber(present=self.count_subscribers()):
                session = SubscriberSession(
                    id, stream, servers=self._ice_servers(id), context=self._context
                )
                answer = await session.answer(offer)
            return self._start(session, offer, answer, resume_token=None)

    async def _is_abandoned(self, stream: Stream) -> bool:
        """Whether a stream's publisher does not answer, so that another may take its place: one
        that has crashed and is back within a second finds its own call still there."""
        session = self._sessions.get(stream.slot.last_id)
        return session is not None and not await session.peer.is_reachable()

    async def _open_in_turn(
        self,
        offer: Offer,
        parameters: Parameters,
        place: PlaceRequest,
        *,
        name: str,
        returns_video: bool,
        owner: str = "",
        client: str,
    ) -> CallAnswer:
        """A publisher's session with a new stream, unless others have asked for a place before."""
        with self._new_session_id() as id:
            stream = self._streams.create(
                name,
                returns_video=returns_video,
                owner=owner,
                camera_fps=place.camera_fps,
                offered_ns=now_ns(),
            )
            with self.turns.turn(place, client):
                return await self._open_with_stream(id, stream, offer, parameters, client=client)

    async def _open_with_stream(
        self, id: str, stream: Stream, offer: Offer, parameters: Parameters, *, client: str
    ) -> CallAnswer:
        """A publisher's session with a new stream, which is opened while the answer is made."""
        async with contextlib.AsyncExitStack() as kept, contextlib.AsyncExitStack() as undo:
            undo.callback(stream.chunk_pipe.close)
            kept.enter_context(
                self._joining.publisher(client, unconnected=self._unconnected(client))
            )
            await kept.enter_async_context(self._streams.place(stream))
            session = self._publisher_session(id, stream)  # nothing was spent before
            session.client = client
            undo.push_async_callback(session.peer.close)
            answer = await _answer_while(
                self._streams.open(stream, parameters), answering=session.answer(offer)
            )
            undo.pop_all()
            stream.monitor.observe_milestone(Milestone.SIGNAL, now_ns())
            stream.attach(session)
            self._streams.start(stream)
            return self._start(session, offer, answer, resume_token=stream.resume_token)

    async def _open_on_held(self, offer: Offer, stream: Stream) -> CallAnswer:
        """A publisher's session with an existing stream."""
        offered_ns = now_ns()
        with self._new_session_id() as id:
            session = self._publisher_session(id, stream)
            answer = await session.answer(offer)
            try:
                check_not_ended(stream)  # it may have ended meanwhile
                stream.attach(session, offered_ns=offered_ns)
            except BaseException:
                await session.peer.close()
                raise
            return self._start(session, offer, answer, resume_token=stream.resume_token)

    def _unconnected(self, client: str) -> int:
        """Publishers of this address that have not connected yet."""
        return sum(
            isinstance(session, PublisherSession)
            and session.client == client
            and not session.peer.connected.is_set()
            for session in self._sessions
        )

    @contextlib.contextmanager
    def _new_session_id(self) -> Iterator[str]:
        """A session's id; it is in every line of the log that is written in the block.

        Raises:
            ServerStops: if the server is stopping.
        """
        self.check_open()
        id = secrets.token_urlsafe(9)
        token = session_id.set(id)
        try:
            yield id
        finally:
            session_id.reset(token)

    def _start(
        self,
        session: PublisherSession | SubscriberSession,
        offer: Offer,
        answer: str,
        *,
        resume_token: str | None,
    ) -> CallAnswer:
        """Run a session that has been answered."""
        self._sessions.start(session, lambda: session.run(offer))
        if self.drain is not None:  # begun while it was being answered
            session.announce(self.drain.notice(now_ns(), resume_token=session.resume_token))
        if self.stop_reason:  # set before this session was registered, which `close_all` has missed
            session.end(self.stop_reason, ends_stream=True)
        return CallAnswer(
            session_id=session.id,
            session_address=self._proofs.address(session.id),
            sdp=answer,
            stream_id=session.stream.id,
            resume_token=resume_token,
        )

    def _publisher_session(self, id: str, stream: Stream) -> PublisherSession:
        return PublisherSession(id, stream, servers=self._ice_servers(id), context=self._context)

    def watched_stream(self, name: str | None) -> Stream:
        """The stream that a subscriber is to watch, the newest if None.

        Raises:
            UnknownSession: if there is none; RequestError: if the name is that of a subscriber.
        """
        if name is None:
            return self._streams.newest()
        return self._streams.find(name)


async def _answer_while(
    opening: Coroutine[Any, Any, None], *, answering: Coroutine[Any, Any, str]
) -> str:
    """Do both; where one fails, cancel the other and raise the error of the first."""
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(opening, name="open stream")
            answer = group.create_task(answering, name="answer")
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from None
    return answer.result()

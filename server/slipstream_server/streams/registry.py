"""All streams of this server, with a publisher or held: opened, found, resumed, ended."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Sequence
from typing import Protocol

from slipstream_protocol.clock import NS_PER_S, now_ns
from slipstream_protocol.parameters import Parameters

from slipstream_server.errors import EngineFull, Forbidden, ServerFull, UnknownSession, streams_full
from slipstream_server.live_registry import LiveRegistry, ended_error
from slipstream_server.streams.media_context import MediaContext
from slipstream_server.streams.ports import EngineProvider
from slipstream_server.streams.resume_tokens import ResumeTokens, stream_of
from slipstream_server.streams.stream import Stream

logger = logging.getLogger(__name__)

_END_S = 3.0
UNCONNECTED_S = 5.0  # a publisher that has no media path by then makes room for others
_RETRY_S = 10.0


class StreamRefusal(Protocol):
    """Says why there is no room for one more stream, for people; None where there is."""

    def __call__(self, streams: int, *, returning: int | None) -> str | None:
        """Beside so many, of which so many send their publishers the picture; `returning` is None
        where the new one does not."""
        ...


def no_refusal(streams: int, *, returning: int | None) -> None:
    """There is always room."""


class StreamRegistry:
    """The streams, by id; a held one is ended to make room for a new one, the longest held first.

    Args:
        engines: the running engine, and the ones after it.
        context: shared by all sessions.
        tokens: bring publishers back.
        hold_s: how long a stream is kept for its publisher to come back.
        refusal: why there is no room for one more, apart from lanes.
    """

    def __init__(
        self,
        engines: EngineProvider,
        context: MediaContext,
        tokens: ResumeTokens,
        *,
        hold_s: float,
        refusal: StreamRefusal = no_refusal,
    ) -> None:
        self._engines = engines
        self._context = context
        self._tokens = tokens
        self._hold_s = hold_s
        self._refusal = refusal
        self._streams: LiveRegistry[Stream] = LiveRegistry(
            "stream", advice="POST an offer to get one"
        )
        self._opening = 0

    def count_held(self) -> int:
        """Streams that wait for their publishers."""
        return sum(stream.is_held for stream in self._streams)

    def count_returning(self) -> int:
        """Streams whose publishers are sent the picture, or may be at any moment."""
        return sum(stream.returns_video for stream in self.live()) + self._opening

    def free_places(self) -> int:
        """Streams more that there is room for now; a held one keeps its place."""
        ready = self._engines.status.ready
        taken, returning, free = self._taken, self.count_returning(), 0
        while ready and taken + free < ready.lanes:
            if self._refusal(taken + free, returning=returning + free):
                break
            free += 1
        return free

    @property
    def _taken(self) -> int:
        return len(self.live()) + self._opening

    def live(self) -> list[Stream]:
        """The streams that are not about to end, the oldest first."""
        return [stream for stream in self._streams if stream.end_reason is None]

    def create(
        self,
        id: str,
        *,
        returns_video: bool,
        owner: str = "",
        camera_fps: float,
        offered_ns: int,
    ) -> Stream:
        """A stream that is still to be opened and started.

        Args:
            returns_video: whether generated frames go back on the publisher's call.
            owner: what tells its publisher from others.
            camera_fps: that it is promised.

        Raises:
            EngineUnavailable: if no engine runs.
        """
        client = self._engines.require()
        return Stream(
            id,
            self._engines,
            client,
            self._context,
            resume_token=self._tokens.token_of(id),
            returns_video=returns_video,
            owner=owner,
            camera_fps=camera_fps,
            offered_ns=offered_ns,
            hold_s=self._hold_s,
        )

    @contextlib.asynccontextmanager
    async def place(self, stream: Stream) -> AsyncIterator[None]:
        """Keep a lane for the stream while it is opened and started in the block, if need be that
        of one which may be ended for it.

        Raises:
            ServerFull: if there is none.
        """
        # streams that wait for an engine have no lane now, and will want theirs
        while self._taken >= stream.lanes:
            if not self._evictable():
                raise streams_full(stream.lanes, retry_after_s=_RETRY_S)
            await self._evict(self._evictable()[0])
        while reason := self._refusal_beside(self.live(), stream):
            evictable = self._evictable()
            left = [one for one in self.live() if one not in evictable]
            if self._refusal_beside(left, stream):
                raise ServerFull(reason, retry_after_s=_RETRY_S)
            await self._evict(evictable[0])
        self._opening += 1
        try:
            yield
        finally:
            self._opening -= 1

    def _refusal_beside(self, others: Sequence[Stream], stream: Stream) -> str | None:
        """Why there is no room for a stream beside these and those being opened."""
        returning = sum(one.returns_video for one in others) + self._opening
        return self._refusal(
            len(others) + self._opening, returning=returning if stream.returns_video else None
        )

    async def open(self, stream: Stream, parameters: Parameters) -> None:
        """Give the stream its lane; others that may be are ended for it, if that is of use.

        Raises:
            RequestError, Unavailable: if it cannot be opened.
        """
        spare = [(one, one.chunk_pipe.lane) for one in self._evictable()]
        lanes = tuple(lane for _, lane in spare if lane is not None)
        try:
            await stream.open(parameters, spare_lanes=lanes)
        except EngineFull as error:
            if not error.fits_without:
                raise
            needless = lanes[error.fits_without :]
            for one, lane in spare:
                if lane is not None and lane not in needless and one in self._evictable():
                    await self._evict(one)
            await stream.open(parameters)

    def start(self, stream: Stream) -> None:
        """Run an opened stream that has its publisher, until it ends."""
        self._streams.start(stream, stream.run)

    def find(self, id: str) -> Stream:
        """The stream.

        Raises:
            UnknownSession: if there is none, with the reason it ended where that is known.
        """
        return self._streams.find(id)

    def newest(self) -> Stream:
        """The newest stream, one with a publisher if there is any.

        Raises:
            UnknownSession: if there is none.
        """
        streams = list(self._streams)
        published = [stream for stream in streams if not stream.is_held]
        if not streams:
            raise UnknownSession("there is no stream to watch; start one on the studio page first")
        return (published or streams)[-1]

    def find_by_token(self, token: str) -> Stream | None:
        """The stream that the resume token is for; None if it is another server process's, which
        has not ended here.

        Raises:
            UnknownSession: if it has ended, or never was.
            Forbidden: if the token is not its own.
        """
        id = stream_of(token)
        is_genuine = self._tokens.is_genuine(token)
        if is_genuine and self._streams.is_unknown(id):
            return None
        stream = self.find(id)
        if not is_genuine:
            raise Forbidden(
                f"the resume token is not that of stream {id!r}; make a new offer without one"
            )
        check_not_ended(stream)
        return stream

    async def end_held(self, session_id: str, reason: str) -> bool:
        """End the stream this session published last, if it is held; returns whether it was."""
        for stream in self._streams:
            if stream.slot.last_id == session_id and stream.is_held:
                await self._end(stream, reason)
                return True
        return False

    async def end_all(self, reason: str) -> None:
        """End every stream."""
        await self._streams.end_all(lambda stream: stream.end(reason), timeout_s=_END_S)

    def _evictable(self) -> list[Stream]:
        """Streams that may be ended to make room, in this order: those that are held, the longest
        first, and those whose publishers have not connected in time, the oldest first."""
        now = now_ns()
        held = [stream for stream in self.live() if stream.is_held]
        held.sort(key=lambda stream: stream.slot.held_s(now), reverse=True)
        latest_ns = now - round(UNCONNECTED_S * NS_PER_S)
        return held + [
            stream
            for stream in self.live()
            if not stream.has_been_connected and stream.since_ns <= latest_ns
        ]

    async def _evict(self, stream: Stream) -> None:
        why = (
            "its viewer was away"
            if stream.is_held
            else f"its publisher had not connected within {UNCONNECTED_S:g} s"
        )
        await self._end(stream, f"{why} and the place was needed for another")

    async def _end(self, stream: Stream, reason: str) -> None:
        """End a stream, so that its id and its lane may be used again."""
        stream.end(reason)
        try:
            async with asyncio.timeout(_END_S):
                await stream.ended.wait()
        except TimeoutError:  # it is forgotten when it has ended
            logger.warning("stream %s has not ended within %g s", stream.id, _END_S)
        else:
            self._streams.forget(stream)


def check_not_ended(stream: Stream) -> None:
    """Raise UnknownSession if the stream has ended, or is about to."""
    if stream.end_reason is not None:
        raise ended_error("stream", stream.id, stream.end_reason)

"""Every stream of this server, with a call or without: opened, found, resumed, given up."""

import asyncio
import hmac
import logging
from collections import OrderedDict

from slipstream_protocol.clock import now_ns
from slipstream_protocol.parameters import Parameters

from slipstream_server.errors import Forbidden, UnknownSession, streams_full
from slipstream_server.streams.media_context import MediaContext
from slipstream_server.streams.ports import EngineProvider
from slipstream_server.streams.stream import Stream

logger = logging.getLogger(__name__)

_REMEMBERED = 256
_END_S = 3.0
_RETRY_S = 10.0


class StreamRegistry:
    """The streams, by id; a held one makes room for a newcomer, the one held longest first.

    Args:
        engine: where streams live.
        context: shared by all sessions.
        hold_s: how long a stream is kept for its viewer to come back.
    """

    def __init__(self, engine: EngineProvider, context: MediaContext, *, hold_s: float) -> None:
        self._engine = engine
        self._context = context
        self._hold_s = hold_s
        self._live: dict[str, tuple[Stream, asyncio.Task[None]]] = {}
        self._opening = 0
        self._ended: OrderedDict[str, str] = OrderedDict()

    def count_held(self) -> int:
        """Streams that wait for their viewers."""
        return sum(stream.is_held for stream, _ in self._live.values())

    def all(self) -> list[Stream]:
        """Those that can be watched, the oldest first."""
        return [stream for stream, _ in self._live.values() if stream.reason is None]

    def prepare(self, id: str, *, returns: bool, offered_ns: int) -> Stream:
        """A stream that is still to be opened.

        Args:
            returns: whether the picture goes back on its own call.

        Raises:
            EngineUnavailable: if no engine runs.
        """
        client = self._engine.require()
        return Stream(
            id,
            self._engine,
            client,
            self._context,
            returns=returns,
            offered_ns=offered_ns,
            hold_s=self._hold_s,
        )

    async def open(self, stream: Stream, parameters: Parameters) -> None:
        """Give the stream a lane, if need be that of a held one.

        A held stream costs the engine nothing but its lane: where it is the engine that cannot
        carry one more, none is given up.

        Raises:
            RequestError, Unavailable: if it cannot be.
        """
        # streams that wait for an engine have no lane now, and will want theirs
        while len(self.all()) + self._opening >= stream.lanes:
            if not await self._give_one_up():
                raise streams_full(stream.lanes, retry_after_s=_RETRY_S)
        self._opening += 1
        try:
            await stream.open(parameters)
        finally:
            self._opening -= 1

    def begin(self, stream: Stream) -> None:
        """Run an opened stream that a call carries; it leaves by itself when it is over."""
        task = asyncio.create_task(self._run(stream), name=f"stream {stream.id}")
        self._live[stream.id] = stream, task

    def find(self, id: str) -> Stream:
        """The stream.

        Raises:
            UnknownSession: if there is none, with the reason it ended where that is known.
        """
        if id in self._live:
            return self._live[id][0]
        if id in self._ended:
            raise UnknownSession(
                f"stream {id!r} has ended ({self._ended[id]}); make a new offer to start another"
            )
        raise UnknownSession(f"stream {id!r} is unknown; POST an offer to get one")

    def newest(self) -> Stream:
        """The newest stream, one with a call if there is any.

        Raises:
            UnknownSession: if there is none.
        """
        streams = [stream for stream, _ in self._live.values()]
        carried = [stream for stream in streams if not stream.is_held]
        if not streams:
            raise UnknownSession("there is no stream to watch; start one on the studio page first")
        return (carried or streams)[-1]

    def resumed(self, token: str) -> Stream:
        """The stream that the token gives back to its viewer.

        Raises:
            UnknownSession: if it has ended, or never was.
            Forbidden: if the token is not its own.
        """
        id, dot, secret = token.rpartition(".")
        if not dot:
            id, secret = token, ""
        stream = self.find(id)
        given, own = (text.encode(errors="surrogatepass") for text in (secret, stream.secret))
        if not hmac.compare_digest(given, own):
            raise Forbidden(
                f"the resume token is not that of stream {id!r}; make a new offer without one"
            )
        check_lasting(stream)
        return stream

    async def end_held(self, session_id: str, reason: str) -> bool:
        """End the stream that this session carried last, if it is held; returns whether it was."""
        for stream, _ in self._live.values():
            if stream.last_publisher_id == session_id and stream.is_held:
                await self._end(stream, reason)
                return True
        return False

    async def end_all(self, reason: str) -> None:
        """End every stream."""
        for stream, _ in self._live.values():
            stream.end(reason)
        if tasks := [task for _, task in self._live.values()]:
            _, late = await asyncio.wait(tasks, timeout=_END_S)
            for task in late:
                task.cancel()

    async def _give_one_up(self) -> bool:
        """End the stream that has been held the longest; returns whether there was one."""
        now = now_ns()
        held = [stream for stream, _ in self._live.values() if stream.is_held]
        if not held:
            return False
        longest = max(held, key=lambda stream: stream.resume_window.held_s(now))
        await self._end(longest, "its viewer was away and the place was needed for another")
        return True

    async def _end(self, stream: Stream, reason: str) -> None:
        stream.end(reason)
        try:
            async with asyncio.timeout(_END_S):
                await stream.over.wait()
        except TimeoutError:  # it leaves by itself when it is done
            logger.warning("stream %s has not ended within %g s", stream.id, _END_S)
        else:
            self._forget(stream)

    async def _run(self, stream: Stream) -> None:
        try:
            await stream.run()
        finally:
            self._forget(stream)

    def _forget(self, stream: Stream) -> None:
        known, _ = self._live.get(stream.id, (None, None))
        if known is not stream:  # forgotten before, and its name may be another's by now
            return
        del self._live[stream.id]
        logger.info("stream %s ends: %s", stream.id, stream.reason or "cut off")
        self._ended[stream.id] = stream.reason or "cut off"
        while len(self._ended) > _REMEMBERED:
            self._ended.popitem(last=False)


def check_lasting(stream: Stream) -> None:
    """Raise UnknownSession if the stream has come to its end."""
    if stream.reason is not None:
        raise UnknownSession(
            f"stream {stream.id!r} has ended ({stream.reason}); make a new offer to start another"
        )

"""Streams by name, without a call: which are live, and their parameters.

    GET    /api/v1/streams
    GET    /api/v1/streams/{stream}/parameters
    PATCH  /api/v1/streams/{stream}/parameters    an update, as on the data channel
    GET    /api/v1/streams/{stream}/thumbnail     its newest picture, a small JPEG
    GET    /api/v1/streams/{stream}/still         the same as it was made, a PNG
    GET    /api/v1/streams/{stream}/trace         the way of its frames, recorded for `seconds`

A stream published by WHIP has no data channel: this is how its prompt is changed.
"""

import asyncio
import math

import msgspec
from aiohttp import web
from msgspec import UNSET
from slipstream_protocol.clock import NS_PER_S, now_ns
from slipstream_protocol.parameters import Parameters

from slipstream_server.control.events import Ack, AppliedRev, Event, StateName
from slipstream_server.control.incoming import parse
from slipstream_server.control.slo_event import Budget, Kept
from slipstream_server.errors import RequestError, TooOften, Unprocessable
from slipstream_server.observability.frame_trace import TRACE_MAX_S
from slipstream_server.sessions.registry import SessionRegistry
from slipstream_server.signaling.json_bodies import json_response
from slipstream_server.streams.stream import Stream

_APPLIED_S = 2.0  # an update that takes longer is answered `accepted`


class StreamEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One live stream.

    Args:
        published: by WHIP.
        viewers: that are connected, beside the publisher.
        since_s: since it began.
        holds, budgets: of its service levels, as in the event `slo`; null in its first second.
    """

    stream: str
    state: StateName
    published: bool
    viewers: int
    since_s: float
    holds: Kept | None
    budgets: dict[str, Budget] | None


class StreamList(msgspec.Struct, frozen=True, kw_only=True):
    streams: tuple[StreamEntry, ...]


class StreamsApi:
    """The handlers.

    Args:
        sessions: whose streams they are.
    """

    def __init__(self, sessions: SessionRegistry) -> None:
        self._sessions = sessions

    def routes(self) -> list[web.RouteDef]:
        parameters = "/api/v1/streams/{stream}/parameters"
        return [
            web.get("/api/v1/streams", self.list),
            web.get(parameters, self.parameters),
            web.patch(parameters, self.update),
            web.get("/api/v1/streams/{stream}/thumbnail", self.thumbnail),
            web.get("/api/v1/streams/{stream}/still", self.still),
            web.get("/api/v1/streams/{stream}/trace", self.trace),
        ]

    async def list(self, request: web.Request) -> web.Response:
        """All streams, the oldest first."""
        return json_response(StreamList(streams=tuple(map(_entry, self._sessions.streams()))))

    async def parameters(self, request: web.Request) -> web.Response:
        """The parameters in force."""
        return json_response(self._stream(request).state_event().parameters)

    async def update(self, request: web.Request) -> web.Response:
        """Change some: 200 once they are in force, 202 if that takes longer, else an error."""
        stream = self._stream(request)
        try:
            update = parse((await request.read()).decode())
        except ValueError as error:
            raise RequestError(str(error)) from error
        if not isinstance(update, Parameters):
            raise RequestError("the body has a type, send nothing but parameters")
        if update.rev is UNSET:
            update = msgspec.structs.replace(update, rev=0)
        events: asyncio.Queue[Event] = asyncio.Queue()
        if not stream.update(update, events.put_nowait):
            raise TooOften(
                f"stream {stream.id!r} gets more updates than it takes, send fewer",
                retry_after_s=1.0,
            )
        return await _outcome(events)

    async def thumbnail(self, request: web.Request) -> web.Response:
        """The newest picture, small."""
        return _picture(await self._stream(request).picture.thumbnail(), "jpeg")

    async def still(self, request: web.Request) -> web.Response:
        """The newest picture as it was made."""
        return _picture(await self._stream(request).picture.still(), "png")

    async def trace(self, request: web.Request) -> web.Response:
        """The way of the stream's frames from now on, for so many seconds, as a trace file."""
        stream = self._stream(request)
        text = request.query.get("seconds", "20")
        try:
            seconds = float(text)
        except ValueError:
            seconds = math.nan
        if not 0 < seconds <= TRACE_MAX_S:
            raise RequestError(f"seconds is {text!r}, it must be above 0, at most {TRACE_MAX_S:g}")
        with stream.tracing() as trace:
            await asyncio.sleep(seconds)
        body = await asyncio.to_thread(trace.encoded)
        return web.Response(body=body, content_type="application/json")

    def _stream(self, request: web.Request) -> Stream:
        return self._sessions.stream(request.match_info["stream"])


async def _outcome(events: asyncio.Queue[Event]) -> web.Response:
    """The outcome of an update: its last event, as on the data channel."""
    event: Event | None = None
    try:
        async with asyncio.timeout(_APPLIED_S):
            while True:
                event = await events.get()
                match event:
                    case Ack(status="rejected", errors=errors):
                        raise Unprocessable("; ".join(errors))
                    case Ack(status="superseded") | AppliedRev():
                        return json_response(event)
    except TimeoutError:
        assert event is not None, "every update is answered at once"
        return json_response(event, status=202)


def _picture(body: bytes, kind: str) -> web.Response:
    """No browser keeps it, since whom it shows may not want that."""
    headers = {"Cache-Control": "no-store"}
    return web.Response(body=body, content_type=f"image/{kind}", headers=headers)


def _entry(stream: Stream) -> StreamEntry:
    return StreamEntry(
        stream=stream.id,
        state=stream.state_event().state,
        published=not stream.returns_video,
        viewers=stream.fanout.subscriber_count,
        since_s=round((now_ns() - stream.since_ns) / NS_PER_S, 1),
        holds=stream.figures.holds if stream.figures else None,
        budgets=stream.figures.budgets if stream.figures else None,
    )

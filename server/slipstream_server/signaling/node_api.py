"""This server as one of several, for whoever shares calls out among them.

GET    /api/v1/node    its health, its free places, its streams and their parameters
"""

from collections.abc import Callable

import msgspec
from aiohttp import web
from slipstream_protocol.clock import NS_PER_S, now_ns
from slipstream_protocol.parameters import Parameters

from slipstream_server.control.events import StateName
from slipstream_server.http.health import Health
from slipstream_server.sessions.registry import SessionRegistry
from slipstream_server.signaling.json_bodies import json_response
from slipstream_server.streams.stream import Stream


class StreamReport(msgspec.Struct, frozen=True, kw_only=True):
    """One stream.

    Args:
        returns_video: whether generated frames go back on its publisher's call.
        age_s: since it was offered.
        viewers: who watch it.
        parameters: in force; another server begins it anew with these.
    """

    stream: str
    state: StateName
    returns_video: bool
    age_s: float
    viewers: int
    parameters: Parameters


class NodeReport(msgspec.Struct, frozen=True, kw_only=True):
    """The server at one moment.

    Args:
        free_streams: streams more that could begin now.
        free_viewers: viewers more that could watch now.
        streams: all of them, the oldest first.
    """

    health: Health
    free_streams: int
    free_viewers: int
    streams: tuple[StreamReport, ...]


class NodeApi:
    """The handler.

    Args:
        sessions: what is reported.
        health: gives the server's health now.
        max_viewers: as configured.
    """

    def __init__(
        self, sessions: SessionRegistry, health: Callable[[], Health], *, max_viewers: int
    ) -> None:
        self._sessions = sessions
        self._health = health
        self._max_viewers = max_viewers

    def routes(self) -> list[web.RouteDef]:
        return [web.get("/api/v1/node", self.report)]

    async def report(self, request: web.Request) -> web.Response:
        health, now = self._health(), now_ns()
        return json_response(
            NodeReport(
                health=health,
                free_streams=self._sessions.free_streams() if health.ready else 0,
                free_viewers=max(0, self._max_viewers - health.viewers) if health.ready else 0,
                streams=tuple(_report(stream, now) for stream in self._sessions.streams()),
            )
        )


def _report(stream: Stream, now: int) -> StreamReport:
    event = stream.state_event()
    return StreamReport(
        stream=stream.id,
        state=event.state,
        returns_video=stream.returns_video,
        age_s=round((now - stream.since_ns) / NS_PER_S, 3),
        viewers=stream.fanout.subscriber_count,
        parameters=event.parameters,
    )

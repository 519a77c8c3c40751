"""The gate: takes every request to the fleet, and passes it on to the node that it is for.

Only signalling comes through here; media goes straight between caller and node. What the gate knows
it has from the nodes (`watch.py`), so that it may be started again at any time.
"""

import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from urllib.parse import quote

import msgspec
from slipstream_protocol.clock import now_ns
from slipstream_server.errors import (
    EngineUnavailable,
    RequestError,
    SlipstreamError,
    UnknownSession,
)
from slipstream_server.http.cross_origin import CrossOrigin, foreign_origin
from slipstream_server.http.roles import ALL_STREAMS, Role
from slipstream_server.rtp.sdp import parse_offer
from slipstream_server.sessions.turns import ASSUMED_FPS, PlaceRequest
from slipstream_server.signaling.webrtc_api import OfferRequest
from slipstream_server.streams.resume_tokens import stream_of

from slipstream_fleet.all_nodes import AllNodes
from slipstream_fleet.answers import error_answer
from slipstream_fleet.caller_check import CallerCheck
from slipstream_fleet.fleet_api import FleetApi
from slipstream_fleet.forwarding import (
    header_value,
    header_values,
)
from slipstream_fleet.gate_request import GateRequest
from slipstream_fleet.new_streams import NewStreams
from slipstream_fleet.node_client import HttpAnswer, NodeClient, NodeUnreachable
from slipstream_fleet.passing_on import PassingOn
from slipstream_fleet.routes import (
    Route,
    ToAnyNode,
    ToGate,
    ToOffer,
    ToPublish,
    ToRecordings,
    ToSession,
    ToStream,
    route_of,
)
from slipstream_fleet.session_addresses import SessionAddress
from slipstream_fleet.watch import FleetWatch

logger = logging.getLogger(__name__)

_UNAVAILABLE = 503


class Gate:
    """Answers requests.

    Args:
        watch: what is known of the nodes.
        client: sends requests to them.
        check: what callers may do.
        api: the fleet's own answers.
        origins: what pages of other origins may.
        max_waiting: callers who may wait in the line.
    """

    def __init__(
        self,
        watch: FleetWatch,
        client: NodeClient,
        check: CallerCheck,
        api: FleetApi,
        origins: CrossOrigin,
        *,
        max_waiting: int,
    ) -> None:
        self._watch = watch
        self._check = check
        self._api = api
        self._origins = origins
        self._nodes = PassingOn(watch, client)
        self._all = AllNodes(watch, self._nodes)
        self._new = NewStreams(watch, self._nodes, api.metrics, max_waiting=max_waiting)
        watch.count_waiting = self._new.count_waiting

    async def handle(
        self, head: GateRequest, read_body: Callable[[], Awaitable[bytes]]
    ) -> HttpAnswer:
        """The answer; errors are answers too. Pages of other origins may read it as they may a
        server's.

        Args:
            head: the request, its body not read.
            read_body: reads it; raises RequestError if it cannot be taken.
        """
        allowed = self._cross_origin_headers(head)
        asks_first = header_value(head.headers, "Access-Control-Request-Method")
        if allowed and asks_first and head.method == "OPTIONS":
            answer = HttpAnswer(status=204)
        else:
            answer = await self._answered(head, read_body)
        # a node's answer has its own
        own = [pair for pair in allowed.items() if not header_values(answer.headers, pair[0])]
        return replace(answer, headers=[*answer.headers, *own])

    def _cross_origin_headers(self, head: GateRequest) -> Mapping[str, str]:
        found = {name.lower(): value for name, value in head.headers}
        origin = foreign_origin(
            found.get("origin"),
            found.get("sec-fetch-site"),
            own=f"{head.caller.scheme}://{head.caller.host}",
        )
        return self._origins.headers(head.raw_path, origin)

    async def _answered(
        self, request: GateRequest, read_body: Callable[[], Awaitable[bytes]]
    ) -> HttpAnswer:
        try:
            route = route_of(request.method, request.raw_path)
            if isinstance(route, ToOffer | ToPublish | ToStream | ToSession | ToRecordings):
                # nothing is read of, or spent on, a caller who may do nothing
                self._check.require_any(
                    tokens=request.tokens,
                    cookies=request.cookies,
                    client=request.caller.address,
                )
                request = replace(request, body=await read_body())
            return await self._routed(request, route)
        except NodeUnreachable as error:
            logger.warning("%s %s: %s", request.method, request.raw_path, error)
            return error_answer(
                EngineUnavailable(f"the node is away ({error}); try again", retry_after_s=1.0)
            )
        except SlipstreamError as error:
            logger.info("%s %s: %s", request.method, request.raw_path, error)
            return error_answer(error)

    async def _routed(self, request: GateRequest, route: Route) -> HttpAnswer:
        match route:
            case ToOffer():
                return await self._offer(request)
            case ToPublish(stream):
                return await self._publish(request, stream)
            case ToStream(stream):
                return await self._to_stream(request, stream)
            case ToSession(session):
                return await self._to_session(request, session)
            case ToRecordings(file):
                return await (self._all.recording if file else self._all.recordings)(request)
            case ToGate(path):
                return await self._own(request, path)
            case ToAnyNode():
                return await self._nodes.to_any(request)

    # ---- offers

    async def _offer(self, request: GateRequest) -> HttpAnswer:
        """A page's offer: to watch, to come back, or to begin a stream."""
        try:
            body = msgspec.json.decode(request.body, type=OfferRequest)
            publishes = (await parse_offer(body.sdp, body.type)).sends_video
        except (msgspec.MsgspecError, UnicodeError, RecursionError, RequestError):
            return await self._nodes.to_any(request)  # which says what is wrong with it
        if not publishes:
            return await self._to_stream(request, body.view or "")
        name = ALL_STREAMS if body.resume is None else stream_of(body.resume)
        if not self._allows(request, Role.PUBLISH, name):
            return await self._nodes.to_any(request)
        if body.resume is not None and (answer := await self._at_home(request, name)) is not None:
            return answer
        place = PlaceRequest(
            camera_fps=body.frameRate or ASSUMED_FPS, waits=body.wait, ticket=body.ticket
        )
        # the line is the gate's: a node neither lets anybody wait nor knows the ticket
        alone = msgspec.json.encode(msgspec.structs.replace(body, wait=False, ticket=""))
        return await self._new.place(replace(request, body=alone), place)

    async def _publish(self, request: GateRequest, stream: str) -> HttpAnswer:
        """A WHIP offer: to the stream's node if there is one, else to a place."""
        if stream and (answer := await self._at_home(request, stream)) is not None:
            return answer
        if not self._allows(request, Role.PUBLISH, stream or ALL_STREAMS):
            return await self._nodes.to_any(request)
        known = self._watch.table.parameters_of(stream, now_ns()) if stream else None
        if known is not None:
            request = request.with_parameters(known)
        place = PlaceRequest(camera_fps=ASSUMED_FPS, waits=bool(stream), name=stream)
        return await self._new.place(request, place)

    async def _at_home(self, request: GateRequest, stream: str) -> HttpAnswer | None:
        """The answer of the node that has the stream; None if there is none, or it is about to
        leave, which its last report need not have said."""
        home = self._watch.table.node_of(stream)
        if home is None or home.is_stopping:
            return None
        try:
            answer = await self._nodes.to_node(request, home)
        except NodeUnreachable as error:
            self._watch.missed(home, error)
            return None
        if answer.status == _UNAVAILABLE:
            await self._watch.look_at(home)
            return None if home.is_stopping or home.report is None else answer
        return answer

    # ---- everything else

    async def _to_stream(self, request: GateRequest, stream: str) -> HttpAnswer:
        table = self._watch.table
        if stream:
            node = table.node_of(stream)
        else:
            newest = table.newest()
            node = newest[0] if newest is not None else None
        if node is None:
            return await self._nodes.to_any(
                request
            )  # which knows no such stream either, and says so
        return await self._nodes.to_node(request, node)

    async def _to_session(self, request: GateRequest, session: str) -> HttpAnswer:
        address = SessionAddress.parse(session)
        if address is None:
            return await self._nodes.to_any(request)
        node = self._watch.table.get(address.node)
        if node is None or node.report is None:
            if request.method == "DELETE" and request.raw_path.startswith("/wh"):
                return HttpAnswer(status=200)  # what was asked for is so
            raise UnknownSession(
                f"session {address.inside.partition('.')[0][:80]!r} was on node {address.node}, "
                "which is gone; make a new offer, with the resume token the stream goes on"
            )
        inside = request.raw_path.rpartition("/")[0] + "/" + quote(address.inside)
        return await self._nodes.to_node(replace(request, raw_path=inside), node)

    async def _own(self, request: GateRequest, path: str) -> HttpAnswer:
        if path == "/api/v1/streams":
            self._check.require_any(
                tokens=request.tokens, cookies=request.cookies, client=request.caller.address
            )
            return await self._all.streams(request)
        is_admin = self._check.is_admin(
            tokens=request.tokens, cookies=request.cookies, client=request.caller.address
        )
        return await self._api.answer(request.method, path, request.query, is_admin=is_admin)

    def _allows(self, request: GateRequest, role: Role, stream: str) -> bool:
        return self._check.allows(
            role,
            stream,
            tokens=request.tokens,
            cookies=request.cookies,
            client=request.caller.address,
        )

"""The gate: takes every request to the fleet, and passes it on to the node that it is for.

Only signalling comes through here; media goes straight between caller and node. What the gate knows
it has from the nodes (`watch.py`), so that it may be started again at any time.
"""

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from urllib.parse import parse_qsl, quote, urlencode

import msgspec
from msgspec import UNSET
from slipstream_protocol.clock import NS_PER_S, now_ns
from slipstream_protocol.parameters import Parameters
from slipstream_server.errors import (
    EngineUnavailable,
    RequestError,
    ServerFull,
    SlipstreamError,
    Unavailable,
    UnknownSession,
)
from slipstream_server.http.cross_origin import CrossOrigin, foreign_origin
from slipstream_server.http.forwarded import Caller
from slipstream_server.http.rate_limit import client_key, is_loopback
from slipstream_server.http.roles import ALL_STREAMS, Role
from slipstream_server.rtp.sdp import parse_offer
from slipstream_server.sessions.turns import ASSUMED_FPS, PlaceRequest, Turns
from slipstream_server.signaling.webrtc_api import OfferAnswer, OfferRequest
from slipstream_server.streams.resume_tokens import stream_of

from slipstream_fleet.answers import error_answer, no_page_yet
from slipstream_fleet.caller_check import CallerCheck
from slipstream_fleet.fleet_api import FleetApi
from slipstream_fleet.forwarding import (
    Headers,
    header_value,
    header_values,
    inward_headers,
    outward_headers,
    with_header,
)
from slipstream_fleet.node_client import HttpAnswer, NodeClient, NodeUnreachable
from slipstream_fleet.node_table import NodeState
from slipstream_fleet.placement import Reservation
from slipstream_fleet.routes import (
    Route,
    ToAnyNode,
    ToGate,
    ToOffer,
    ToPublish,
    ToSession,
    ToStream,
    route_of,
)
from slipstream_fleet.session_addresses import SessionAddress, outside_location
from slipstream_fleet.watch import FleetWatch

logger = logging.getLogger(__name__)

_RETRY_S = 3.0
_CLOSED_MAX_S = 10.0  # a node that had room by its report and none by its answer
_UNAVAILABLE = 503


@dataclass(frozen=True, slots=True, kw_only=True)
class GateRequest:
    """A request to the gate.

    Args:
        raw_path: with its escapes, without the query.
        peer: who has sent it, and how the gate was addressed.
        caller: whose it is: the peer, or who a trusted proxy names.
        body: empty as long as it has not been read.
    """

    method: str
    raw_path: str
    query: str
    headers: Headers
    peer: Caller
    caller: Caller
    body: bytes = b""

    @property
    def path(self) -> str:
        """With the query."""
        return f"{self.raw_path}?{self.query}" if self.query else self.raw_path

    @property
    def tokens(self) -> Sequence[str]:
        """Those that it shows."""
        scheme, _, text = header_value(self.headers, "Authorization").partition(" ")
        query = [value for key, value in parse_qsl(self.query) if key == "token"]
        shown = [text.strip(), *query] if scheme.lower() == "bearer" else query
        return [token for token in shown if token]

    @property
    def cookies(self) -> str:
        return "; ".join(header_values(self.headers, "Cookie"))


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
        self._client = client
        self._check = check
        self._api = api
        self._origins = origins
        self._turns = Turns(places=max_waiting, clock=now_ns)
        api.count_waiting = self._turns.count

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
            if isinstance(route, ToOffer | ToPublish | ToStream | ToSession):
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
            case ToGate(path):
                return await self._own(request, path)
            case ToAnyNode():
                return await self._to_any(request)

    # ---- offers

    async def _offer(self, request: GateRequest) -> HttpAnswer:
        """A page's offer: to watch, to come back, or to begin a stream."""
        try:
            body = msgspec.json.decode(request.body, type=OfferRequest)
            publishes = (await parse_offer(body.sdp, body.type)).sends_video
        except (msgspec.MsgspecError, UnicodeError, RecursionError, RequestError):
            return await self._to_any(request)  # which says what is wrong with it
        if not publishes:
            return await self._to_stream(request, body.view or "")
        name = ALL_STREAMS if body.resume is None else stream_of(body.resume)
        if not self._allows(request, Role.PUBLISH, name):
            return await self._to_any(request)
        if body.resume is not None and (answer := await self._at_home(request, name)) is not None:
            return answer
        place = PlaceRequest(
            camera_fps=body.frameRate or ASSUMED_FPS, waits=body.wait, ticket=body.ticket
        )
        # the line is the gate's: a node neither lets anybody wait nor knows the ticket
        alone = msgspec.json.encode(msgspec.structs.replace(body, wait=False, ticket=""))
        return await self._place(replace(request, body=alone), place)

    async def _publish(self, request: GateRequest, stream: str) -> HttpAnswer:
        """A WHIP offer: to the stream's node if there is one, else to a place."""
        if stream and (answer := await self._at_home(request, stream)) is not None:
            return answer
        if not self._allows(request, Role.PUBLISH, stream or ALL_STREAMS):
            return await self._to_any(request)
        known = self._watch.table.parameters_of(stream, now_ns()) if stream else None
        if known is not None:
            request = replace(request, query=_with_parameters(request.query, known))
        place = PlaceRequest(camera_fps=ASSUMED_FPS, waits=bool(stream), name=stream)
        return await self._place(request, place)

    async def _at_home(self, request: GateRequest, stream: str) -> HttpAnswer | None:
        """The answer of the node that has the stream; None if there is none, or it is about to
        leave, which its last report need not have said."""
        home = self._watch.table.node_of(stream)
        if home is None or home.is_stopping:
            return None
        try:
            answer = await self._to_node(request, home)
        except NodeUnreachable as error:
            self._watch.missed(home, error)
            return None
        if answer.status == _UNAVAILABLE:
            await self._watch.look_at(home)
            return None if home.is_stopping or home.report is None else answer
        return answer

    async def _place(self, request: GateRequest, place: PlaceRequest) -> HttpAnswer:
        """Begin a stream where there is room, in turn.

        Raises:
            Unavailable: if there is none; Queued if the caller waits.
        """
        began_ns = now_ns()
        with self._turns.turn(place, _counted(request.caller.address)):
            answer = await self._placed(request)
        self._api.metrics.placed(answer.status, (now_ns() - began_ns) / NS_PER_S)
        return answer

    async def _placed(self, request: GateRequest) -> HttpAnswer:
        placement, refused = self._watch.placement, dict[str, str]()
        while True:
            kept = placement.reserve(now_ns(), but=refused)
            if kept is None:
                raise self._full(refused)
            node = self._watch.table.get(kept.node)
            try:
                if node is None:
                    refused[kept.node] = "it has left"
                    continue
                answer = await self._to_node(request, node)
                if answer.status != _UNAVAILABLE:
                    self._settle(kept, answer)
                    return answer
                refused[kept.node] = _reason(answer)
                retry_s = min(_CLOSED_MAX_S, _retry_after_s(answer))
                placement.close(kept.node, until_ns=now_ns() + round(retry_s * NS_PER_S))
            except NodeUnreachable as error:
                refused[kept.node] = str(error)
                if node is not None:
                    self._watch.missed(node, error)
            finally:
                placement.give_back(kept)

    def _settle(self, kept: Reservation, answer: HttpAnswer) -> None:
        if answer.status < 300:
            self._watch.placement.answered(kept, now_ns())

    def _full(self, refused: dict[str, str]) -> Unavailable:
        if not any(node.takes_calls for node in self._watch.table):
            return EngineUnavailable(
                f"no node of the fleet takes calls now ({self._watch.why_none()}); try again in a "
                "moment",
                retry_after_s=_RETRY_S,
            )
        why = "; ".join(refused.values())
        return ServerFull(
            why or "all places of the fleet are in use; wait until one is free, or add a node",
            retry_after_s=_RETRY_S,
        )

    # ---- everything else

    async def _to_stream(self, request: GateRequest, stream: str) -> HttpAnswer:
        table = self._watch.table
        if stream:
            node = table.node_of(stream)
        else:
            newest = table.newest()
            node = newest[0] if newest is not None else None
        if node is None:
            return await self._to_any(request)  # which knows no such stream either, and says so
        return await self._to_node(request, node)

    async def _to_session(self, request: GateRequest, session: str) -> HttpAnswer:
        address = SessionAddress.parse(session)
        if address is None:
            return await self._to_any(request)
        node = self._watch.table.get(address.node)
        if node is None or node.report is None:
            if request.method == "DELETE" and request.raw_path.startswith("/wh"):
                return HttpAnswer(status=200)  # what was asked for is so
            raise UnknownSession(
                f"session {address.inside.partition('.')[0][:80]!r} was on node {address.node}, "
                "which is gone; make a new offer, with the resume token the stream goes on"
            )
        inside = request.raw_path.rpartition("/")[0] + "/" + quote(address.inside)
        return await self._to_node(replace(request, raw_path=inside), node)

    async def _to_any(self, request: GateRequest) -> HttpAnswer:
        """Whichever answers; each is asked once."""
        tried: set[str] = set()
        while (node := self._watch.table.any_node(but=tried)) is not None:
            tried.add(node.address.name)
            try:
                return await self._to_node(request, node)
            except NodeUnreachable as error:
                self._watch.missed(node, error)
                if error.was_sent and request.method not in ("GET", "HEAD", "OPTIONS"):
                    raise
        accepts = header_value(request.headers, "Accept")
        if request.method == "GET" and "text/html" in accepts:
            return no_page_yet(self._watch.why_none())
        raise EngineUnavailable(
            f"no node of the fleet answers ({self._watch.why_none()}); try again in a moment",
            retry_after_s=_RETRY_S,
        )

    async def _own(self, request: GateRequest, path: str) -> HttpAnswer:
        if path == "/api/v1/streams":
            return await self._all_streams(request)
        is_admin = self._check.is_admin(
            tokens=request.tokens, cookies=request.cookies, client=request.caller.address
        )
        return await self._api.answer(request.method, path, request.query, is_admin=is_admin)

    async def _all_streams(self, request: GateRequest) -> HttpAnswer:
        """The lists of all nodes as one; the first refusal stands for all."""
        entries: list[object] = []
        nodes = [node for node in self._watch.table if node.report is not None]
        if not nodes:
            return await self._to_any(request)
        for node in nodes:
            try:
                answer = await self._to_node(request, node)
            except NodeUnreachable as error:
                self._watch.missed(node, error)
                continue
            if answer.status != 200:
                return answer
            entries += msgspec.json.decode(answer.body)["streams"]
        body = msgspec.json.encode({"streams": entries})
        return HttpAnswer(status=200, headers=[("Content-Type", "application/json")], body=body)

    async def _to_node(self, request: GateRequest, node: NodeState) -> HttpAnswer:
        """Pass on a request; in the answer sessions name the node.

        Raises:
            NodeUnreachable: if it does not answer.
        """
        headers = inward_headers(
            request.headers,
            client=request.peer.address,
            scheme=request.peer.scheme,
            host=request.peer.host,
        )
        answer = await self._client.send(
            node.address.url, request.method, request.path, headers=headers, body=request.body
        )
        answer = replace(answer, headers=outward_headers(answer.headers))
        if request.method == "POST" and answer.status in (200, 201):
            return self._named(request, answer, node)
        return answer

    def _named(self, request: GateRequest, answer: HttpAnswer, node: NodeState) -> HttpAnswer:
        name = node.address.name
        if answer.status == 201:
            location = header_value(answer.headers, "Location")
            if request.raw_path.startswith("/whip"):
                self._watch.table.note(name, location.split("/")[-2], now_ns())
            return replace(
                answer,
                headers=with_header(answer.headers, "Location", outside_location(location, name)),
            )
        told = msgspec.json.decode(answer.body, type=OfferAnswer)
        if told.resumeToken is not None:
            self._watch.table.note(name, told.streamId, now_ns())
        told = msgspec.structs.replace(told, sessionId=str(SessionAddress(name, told.sessionId)))
        return replace(answer, body=msgspec.json.encode(told))

    def _allows(self, request: GateRequest, role: Role, stream: str) -> bool:
        return self._check.allows(
            role,
            stream,
            tokens=request.tokens,
            cookies=request.cookies,
            client=request.caller.address,
        )


def _with_parameters(query: str, known: Parameters) -> str:
    """A WHIP query with the parameters that the stream had."""
    kept = [(key, value) for key, value in parse_qsl(query) if key == "token"]
    fields = msgspec.to_builtins(known)
    texts = [
        (key, value if key == "prompt" else msgspec.json.encode(value).decode())
        for key, value in fields.items()
        if value is not UNSET and key != "rev"
    ]
    return urlencode([*kept, *texts])


def _counted(client: str) -> str:
    """The address whose callers in the line are counted together."""
    key = client_key(client)
    return "" if key == "unknown" or is_loopback(key) else key


def _reason(answer: HttpAnswer) -> str:
    try:
        return str(msgspec.json.decode(answer.body)["error"])
    except (msgspec.MsgspecError, KeyError, TypeError):
        return "a node refuses the call"


def _retry_after_s(answer: HttpAnswer) -> float:
    text = header_value(answer.headers, "Retry-After")
    return float(text) if text.isdecimal() else _RETRY_S

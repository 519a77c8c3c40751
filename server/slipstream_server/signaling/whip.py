"""WHIP and WHEP: publish a stream, and watch one, with one HTTP exchange and no page.

    OPTIONS  /whip[/{stream}]          what may be posted
    POST     /whip[/{stream}]          the offer of a publisher (OBS, FFmpeg) -> 201
    PATCH    /whip/{stream}/{id}       ICE candidates as they are found -> 204
    DELETE   /whip/{stream}/{id}       the end of the call and of the stream -> 200

and the same under /whep for subscribers. The path names the stream and the session. The keys of a
publisher's query are the stream's first parameters (`?prompt=neon&seed=3`).

Sources: RFC 9725 (WHIP), draft-ietf-wish-whep (WHEP).
"""

import json
import re
import secrets
from urllib.parse import quote

from aiohttp import web
from slipstream_protocol.parameters import Parameters

from slipstream_server.control.incoming import parse
from slipstream_server.errors import (
    RequestError,
    SlipstreamError,
    StaleTag,
    UnknownSession,
    Unprocessable,
    WrongType,
)
from slipstream_server.http.access import credential_of
from slipstream_server.http.outside import outside_path
from slipstream_server.http.rate_limit import counted_client
from slipstream_server.ice.ice_servers import IceServer
from slipstream_server.observability.metrics import Metrics
from slipstream_server.rtp.sdp import parse_offer
from slipstream_server.sessions.publisher import PublisherSession
from slipstream_server.sessions.registry import SessionRegistry
from slipstream_server.sessions.session import Session
from slipstream_server.sessions.subscriber import SubscriberSession
from slipstream_server.sessions.turns import ASSUMED_FPS, PlaceRequest
from slipstream_server.signaling.session_paths import own_session_id, shown_path
from slipstream_server.signaling.whip_sdp import (
    adapt,
    check_direction,
    frame_rate,
    read_fragment,
    receive_only,
)

SDP = "application/sdp"
FRAGMENT = "application/trickle-ice-sdpfrag"
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_SESSION_METHODS = ("DELETE", "OPTIONS", "PATCH")
_OFFER_METHODS = ("OPTIONS", "POST")
_NOT_PARAMETERS = ("token",)


class WhipApi:
    """The handlers.

    Args:
        sessions: where calls are opened.
        metrics: of the whole server.
    """

    def __init__(self, sessions: SessionRegistry, metrics: Metrics) -> None:
        self._sessions = sessions
        self._metrics = metrics

    def routes(self) -> list[web.RouteDef]:
        routes = []
        for kind, post in (("/whip", self.publish), ("/whep", self.subscribe)):
            for path in (kind, f"{kind}/", f"{kind}/{{stream}}"):
                routes += [
                    web.post(path, post),
                    web.options(path, self.options),
                    web.route("*", path, self.refuse),
                ]
            call = f"{kind}/{{stream}}/{{id}}"
            routes += [
                web.patch(call, self.trickle),
                web.delete(call, self.end),
                web.options(call, self.options),
                web.route("*", call, self.refuse),
            ]
        return routes

    async def options(self, request: web.Request) -> web.Response:
        """Answer which methods and bodies are accepted here."""
        if "id" in request.match_info:
            headers = {"Allow": ", ".join(_SESSION_METHODS), "Accept-Patch": FRAGMENT}
        else:
            headers = {"Allow": ", ".join(_OFFER_METHODS), "Accept-Post": SDP}
        return web.Response(status=204, headers=headers)

    async def refuse(self, request: web.Request) -> web.Response:
        """Refuse any other method: RFC 9725, section 4, reserves them."""
        allowed = _SESSION_METHODS if "id" in request.match_info else _OFFER_METHODS
        raise web.HTTPMethodNotAllowed(request.method, allowed)

    async def publish(self, request: web.Request) -> web.Response:
        """Open a publisher's call."""
        return await self._post(request, publishes=True)

    async def subscribe(self, request: web.Request) -> web.Response:
        """Open a subscriber's call."""
        return await self._post(request, publishes=False)

    async def _post(self, request: web.Request, *, publishes: bool) -> web.Response:
        try:
            response = await self._answer(request, publishes=publishes)
        except SlipstreamError as error:
            self._metrics.offer(getattr(error, "status", 500))
            raise
        self._metrics.offer(response.status)
        return response

    async def _answer(self, request: web.Request, *, publishes: bool) -> web.Response:
        name, credential = request.match_info.get("stream"), credential_of(request)
        if not publishes:
            self._sessions.opener.watched_stream(name)  # before the offer costs anything
        elif name is not None:
            _check_name(name)
        parameters = _parameters(request) if publishes else Parameters()
        offered = await _body(request, SDP)
        offer = await parse_offer(offered, "offer")
        check_direction(offer, publishes=publishes)
        adapted = adapt(offer)
        offer = adapted.offer
        if publishes:
            # a name is asked for again by the encoder itself, and needs no ticket
            kept = "" if name is None else f"{name} {credential.owner}"
            place = PlaceRequest(camera_fps=frame_rate(offered) or ASSUMED_FPS, name=kept)
            name = name or secrets.token_urlsafe(6)
            answer = await self._sessions.opener.publish(
                offer,
                parameters,
                name=name,
                owner=credential.owner,
                is_admin=credential.takes_any_stream,
                client=counted_client(request),
                place=place,
            )
        else:
            answer = await self._sessions.opener.subscribe(receive_only(offer), name=name)
        kind = "whip" if publishes else "whep"
        response = web.Response(
            status=201,
            body=adapted.restored(answer.sdp).encode(),
            headers={
                "Content-Type": SDP,
                "Location": outside_path(
                    request, f"/{kind}/{quote(answer.stream_id)}/{answer.session_address}"
                ),
                "ETag": _tag(self._sessions.find(answer.session_id)),
                "Accept-Patch": FRAGMENT,
            },
        )
        for server in self._sessions.ice_servers(answer.session_id):
            response.headers.add("Link", _link(server))
        return response

    async def trickle(self, request: web.Request) -> web.Response:
        """Add ICE candidates that the caller has found after its offer."""
        session = self._session(request)
        fragment = read_fragment(await _body(request, FRAGMENT))
        peer_ufrag, _ = session.peer.ice_ufrags
        if fragment.ufrag and fragment.ufrag != peer_ufrag:
            raise Unprocessable(
                f"ice-ufrag is {fragment.ufrag[:80]!r}, this session's is {peer_ufrag!r}: "
                "ICE restarts are not served; POST a new offer, the stream goes on as it is for a "
                "publisher who comes back to its name"
            )
        wanted = request.headers.get("If-Match", "*")
        if wanted not in ("*", _tag(session)):
            raise StaleTag(
                f"If-Match is {wanted[:80]}, the session's ETag is {_tag(session)}; send that one"
            )
        session.add_candidates(fragment.candidates)
        return web.Response(status=204)

    async def end(self, request: web.Request) -> web.Response:
        """End a call; with a publisher's, its stream. One that has ended is answered alike: what
        was asked for is so, and a client that is told 404 shows its user an error."""
        id = own_session_id(request, self._sessions)
        if self._sessions.is_live(id):
            self._session(request)
        try:
            await self._sessions.close(id, f"ended by DELETE {shown_path(request)}")
        except UnknownSession:
            if not self._sessions.has_ended(id):
                raise
        return web.Response(status=200)

    def _session(self, request: web.Request) -> Session:
        """The session in the path.

        Raises:
            Forbidden: if it is another caller's.
            UnknownSession: if there is none of that kind, stream and id.
        """
        id, name = own_session_id(request, self._sessions), request.match_info["stream"]
        session = self._sessions.find(id)
        if request.path.startswith("/whip"):
            is_named = isinstance(session, PublisherSession) and _publishes(session, name)
        else:
            is_named = isinstance(session, SubscriberSession) and session.stream.id == name
        if not is_named:
            raise UnknownSession(
                f"session {id!r} is not one of {shown_path(request)}; use the Location that the "
                "answer to the offer had"
            )
        return session


def _publishes(session: PublisherSession, name: str) -> bool:
    return session.stream.id == name and not session.stream.returns_video


def _check_name(name: str) -> None:
    """Raise RequestError if a stream cannot have this name."""
    if not _NAME.fullmatch(name):
        raise RequestError(
            f"the stream's name is {name[:80]!r}, it must be 1 to 64 letters, digits, - or _"
        )


def _parameters(request: web.Request) -> Parameters:
    """The parameters in the query: each value as JSON where it is, else as text."""
    content: dict[str, object] = {}
    for key, text in request.query.items():
        if key in _NOT_PARAMETERS:
            continue
        try:
            content[key] = text if key == "prompt" else json.loads(text)
        except (ValueError, RecursionError):
            content[key] = text
    try:
        parameters = parse(json.dumps(content))
    except ValueError as error:
        raise RequestError(f"a parameter of the query cannot be: {error}") from error
    if not isinstance(parameters, Parameters):
        raise RequestError("a parameter of the query cannot be: type is none of them")
    return parameters


async def _body(request: web.Request, kind: str) -> str:
    """The body.

    Raises:
        WrongType: if it is not of the type `kind`.
        RequestError: if it is not UTF-8, or is empty.
    """
    if request.content_type != kind:
        found = request.headers.get("Content-Type", "missing")
        raise WrongType(f"Content-Type is {found[:80]}, it must be {kind}")
    try:
        text = (await request.read()).decode()
    except UnicodeDecodeError as error:
        raise RequestError(f"the body is not UTF-8 ({error}); send text") from error
    if not text.strip():
        raise RequestError(f"the body is empty, it must be {kind}")
    return text


def _tag(session: Session) -> str:
    """The ETag of the session: our ICE user name."""
    _, own_ufrag = session.peer.ice_ufrags
    return f'"{own_ufrag}"'


def _link(server: IceServer) -> str:
    """A STUN or TURN server as a Link header (RFC 9725, section 4.6)."""
    link = f'<{server.urls}>; rel="ice-server"'
    if server.username is not None and server.credential is not None:
        username, credential = (
            text.replace("\\", "\\\\").replace('"', '\\"')
            for text in (server.username, server.credential)
        )
        link += f'; username="{username}"; credential="{credential}"; credential-type="password"'
    return link

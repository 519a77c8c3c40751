"""The page's calls over HTTP: offer, candidates, the end; and metrics."""

import logging
import math
from typing import Annotated

import msgspec
from aiohttp import web
from msgspec import UNSET, Meta, UnsetType
from slipstream_protocol.parameters import Parameters

from slipstream_server.errors import (
    Queued,
    RequestError,
    SlipstreamError,
    TooOften,
    Unauthorized,
    Unavailable,
)
from slipstream_server.http.access import credential_of
from slipstream_server.http.bodies import BODY_MAX_BYTES
from slipstream_server.http.outside import Handler
from slipstream_server.http.rate_limit import counted_client
from slipstream_server.http.roles import ALL_STREAMS, Credential, Role
from slipstream_server.http.token_issuer import TokenIssuer
from slipstream_server.ice.ice_servers import IceServer
from slipstream_server.ice.udp_ports import is_out_of_descriptors, sockets_taken
from slipstream_server.observability.exposition import CONTENT_TYPE
from slipstream_server.observability.metrics import Metrics
from slipstream_server.rtp.sdp import MAX_CANDIDATES, parse_offer, read_candidate
from slipstream_server.sessions.opener import CallAnswer
from slipstream_server.sessions.registry import SessionRegistry
from slipstream_server.sessions.turns import (
    ASSUMED_FPS,
    HIGHEST_FPS,
    LOWEST_FPS,
    PlaceRequest,
)
from slipstream_server.signaling.json_bodies import json_response, read_json
from slipstream_server.signaling.session_paths import own_session_id, shown_path
from slipstream_server.signaling.whip_sdp import adapt
from slipstream_server.streams.ports import EngineProvider

logger = logging.getLogger(__name__)


class OfferRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of an offer. Names in mixed case, here and below, are those of the wire.

    With `resume`, a stream that this server still has goes on with the parameters in force; with
    `initialParameters` one begins anew whose server was stopped. `frameRate` is the camera's. With
    `wait` the caller waits in the line where the server is full, and sends the `ticket` that it is
    answered when it asks again.
    """

    sdp: str
    type: str
    initialParameters: Parameters | UnsetType | None = UNSET
    view: str | None = None
    resume: str | None = None
    frameRate: Annotated[float, Meta(ge=LOWEST_FPS, le=HIGHEST_FPS)] | None = None
    wait: bool = False
    ticket: Annotated[str, Meta(max_length=64)] = ""


class QueuedAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to a caller who waits in the line, with status 503 and `Retry-After`.

    Args:
        error: why, for people.
        place: in the line, 1 being the next, of so many that are `waiting`.
        ticket: to be sent when the caller asks again, before a few seconds are over.
    """

    error: str
    place: int
    waiting: int
    ticket: str


class OfferAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The answer.

    Args:
        sessionId: the session in the path of PATCH and DELETE, with a proof that it is the caller's
            own: nobody else is told it.
        resumeToken: brings a publisher back to `streamId` within `resumeSeconds` of a break, also
            to the next server after this one; null for a subscriber.
        viewToken: lets whoever has it watch the stream; null for a subscriber, and where the server
            has no token.
    """

    sdp: str
    type: str
    sessionId: str
    streamId: str
    viewToken: str | None
    resumeToken: str | None
    resumeSeconds: float


class CandidateRequest(msgspec.Struct, frozen=True):
    """As RTCIceCandidate.toJSON makes it; further keys are ignored."""

    candidate: str
    sdpMid: str | None = None
    sdpMLineIndex: int | None = None


class CandidatesRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    candidates: tuple[CandidateRequest, ...]


class IceServersAnswer(msgspec.Struct, frozen=True, kw_only=True):
    iceServers: tuple[IceServer, ...]


class WebRtcApi:
    """The handlers.

    Args:
        sessions: where calls are opened.
        engine: for its status in the metrics.
        metrics: of the whole server.
        issuer: of tokens for viewers; None where the server has no token.
    """

    def __init__(
        self,
        sessions: SessionRegistry,
        engine: EngineProvider,
        metrics: Metrics,
        issuer: TokenIssuer | None = None,
    ) -> None:
        self._sessions = sessions
        self._engine = engine
        self._metrics = metrics
        self._issuer = issuer

    def routes(self) -> list[web.RouteDef]:
        offer = "/api/v1/webrtc/offer"
        return [
            web.post(offer, self.offer),
            web.patch(offer + "/{id}", self.candidates),
            web.delete(offer + "/{id}", self.hang_up),
            web.get("/api/v1/webrtc/ice-servers", self.ice_servers),
            web.get("/metrics", self.metrics),
        ]

    async def offer(self, request: web.Request) -> web.Response:
        """Open a call: the answer, or an error with the reason."""
        try:
            response = await self._answer(request)
        except SlipstreamError as error:
            self._metrics.offer(getattr(error, "status", 500))
            raise
        self._metrics.offer(200)
        return response

    async def _answer(self, request: web.Request) -> web.Response:
        body = await read_json(request, OfferRequest)
        offer = await parse_offer(body.sdp, body.type)
        _check_allowed(credential_of(request), body, publishes=offer.sends_video)
        if body.resume is not None and not offer.sends_video:
            raise RequestError("resume brings a camera back to its stream: offer a video to send")
        adapted = adapt(offer)
        answer = await self._sessions.opener.offer(
            adapted.offer,
            body.initialParameters or Parameters(),
            client=counted_client(request),
            view=body.view,
            resume=body.resume,
            place=PlaceRequest(
                camera_fps=body.frameRate or ASSUMED_FPS, waits=body.wait, ticket=body.ticket
            ),
        )
        return json_response(
            OfferAnswer(
                sdp=adapted.restored(answer.sdp),
                type="answer",
                sessionId=answer.session_address,
                streamId=answer.stream_id,
                viewToken=self._view_token(request, answer) if offer.sends_video else None,
                resumeToken=answer.resume_token,
                resumeSeconds=self._sessions.hold_s,
            )
        )

    def _view_token(self, request: web.Request, answer: CallAnswer) -> str | None:
        if self._issuer is None:
            return None
        latest_s = credential_of(request).expires_s
        return self._issuer.issue(Role.VIEW, answer.stream_id, latest_s=latest_s).token

    async def candidates(self, request: web.Request) -> web.Response:
        """Add ICE candidates that the caller has found after its offer."""
        session = self._sessions.find(own_session_id(request, self._sessions))
        candidates = (await read_json(request, CandidatesRequest)).candidates
        if len(candidates) > MAX_CANDIDATES:
            raise RequestError(
                f"{len(candidates)} candidates in one request, at most {MAX_CANDIDATES}"
            )
        session.add_candidates(
            [read_candidate(one.candidate, one.sdpMid, one.sdpMLineIndex) for one in candidates]
        )
        return web.Response(status=204)

    async def hang_up(self, request: web.Request) -> web.Response:
        """End a call."""
        await self._sessions.close(own_session_id(request, self._sessions))
        return web.Response(status=204)

    async def ice_servers(self, request: web.Request) -> web.Response:
        return json_response(IceServersAnswer(iceServers=self._sessions.ice_servers("page")))

    async def metrics(self, request: web.Request) -> web.Response:
        text = self._metrics.render(self._engine.status, self._sessions.count())
        return web.Response(body=text, headers={"Content-Type": CONTENT_TYPE})


def _in_log(request: web.Request) -> str:
    """A request in a line of the log: by whom, and its path with its escapes, which keep it in that
    line."""
    return f"{request.method} {shown_path(request)} from {request.remote or 'unknown'}"


def _check_allowed(credential: Credential, body: OfferRequest, *, publishes: bool) -> None:
    """Raise Forbidden unless the caller may publish, or watch, what the offer is about."""
    if not publishes:
        credential.require(Role.VIEW, body.view or ALL_STREAMS)
    elif body.resume is None:
        credential.require(Role.PUBLISH, ALL_STREAMS)  # the name of a new stream is no one's yet
    else:
        credential.require(Role.PUBLISH, body.resume.rpartition(".")[0])


def _level(request: web.Request) -> int:
    """The log level of a failed request: probes come every second and are not worth a line each."""
    return logging.DEBUG if request.method == "GET" else logging.INFO


@web.middleware
async def errors_as_json(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer every error as `{"error": reason}`."""
    try:
        return await handler(request)
    except RequestError as error:
        logger.info("%s: %s", _in_log(request), error)
        response = _error(str(error), error.status)
        if isinstance(error, Unauthorized):
            response.headers["WWW-Authenticate"] = "Bearer"
        return response
    except TooOften as error:  # http/rate_limit.py has logged it, once for many
        return _retry_later(error)
    except Unavailable as error:
        logger.log(_level(request), "%s: %s", _in_log(request), error)
        return _retry_later(error)
    except web.RequestPayloadError as error:
        logger.info("%s: the body cannot be read: %s", _in_log(request), error)
        return _error("the body cannot be read; send it whole, as its headers say", 400)
    except web.HTTPRequestEntityTooLarge:
        return _error(f"the body is too large, the most is {BODY_MAX_BYTES} bytes", 413)
    except web.HTTPNotFound:
        return _error(f"there is nothing at {request.path}", 404)
    except web.HTTPMethodNotAllowed as error:
        allowed = ", ".join(sorted(error.allowed_methods))
        response = _error(f"{request.method} is not for {request.path}, use {allowed}", 405)
        response.headers["Allow"] = allowed
        return response
    except web.HTTPException:
        raise
    except Exception as error:
        if isinstance(error, OSError) and is_out_of_descriptors(error):
            logger.warning("%s: %s", _in_log(request), error)
            return _retry_later(sockets_taken(error))
        logger.exception("%s failed", _in_log(request))
        return _error("the server has failed at this request; its log has the reason", 500)


def _retry_later(error: Unavailable) -> web.Response:
    if isinstance(error, Queued):
        queued = QueuedAnswer(
            error=str(error), place=error.place, waiting=error.waiting, ticket=error.ticket
        )
        response = json_response(queued, status=error.status)
    else:
        response = _error(str(error), error.status)
    response.headers["Retry-After"] = str(max(1, math.ceil(error.retry_after_s)))
    return response


def _error(reason: str, status: int) -> web.Response:
    return web.json_response({"error": reason}, status=status)

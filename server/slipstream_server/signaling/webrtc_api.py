"""The HTTP side of a call: parse, ask, answer."""

import logging
import math
from typing import TypeVar

import msgspec
from aiohttp import web
from msgspec import UNSET, UnsetType
from slipstream_protocol.parameters import Parameters

from slipstream_server.errors import (
    RequestError,
    SlipstreamError,
    TooOften,
    Unauthorized,
    Unavailable,
)
from slipstream_server.http.access import Handler
from slipstream_server.ice.gathering import IceServer
from slipstream_server.observability.exposition import CONTENT_TYPE
from slipstream_server.observability.metrics import Metrics
from slipstream_server.rtp.sdp import MAX_CANDIDATES, read_candidate, read_offer
from slipstream_server.sessions.registry import SessionRegistry
from slipstream_server.streams.ports import EngineProvider

logger = logging.getLogger(__name__)

BODY_MAX_BYTES = 256 << 10

Body = TypeVar("Body")


class OfferRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a caller posts. Here and below, mixed case is the wire's own."""

    sdp: str
    type: str
    initialParameters: Parameters | UnsetType | None = UNSET
    view: str | None = None
    resume: str | None = None


class OfferAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """`resumeToken` brings the caller back to `streamId` within `resumeSeconds` of a break; it is
    null for one who only watches."""

    sdp: str
    type: str
    sessionId: str
    streamId: str
    resumeToken: str | None
    resumeSeconds: float


class CandidateRequest(msgspec.Struct, frozen=True):
    """As RTCIceCandidate.toJSON makes it; further keys do not matter here."""

    candidate: str
    sdpMid: str | None = None
    sdpMLineIndex: int | None = None


class CandidatesRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    candidates: tuple[CandidateRequest, ...]


class IceServersAnswer(msgspec.Struct, frozen=True, kw_only=True):
    iceServers: tuple[IceServer, ...]


class WebRtcApi:
    """The handlers of the API."""

    def __init__(self, sessions: SessionRegistry, engine: EngineProvider, metrics: Metrics) -> None:
        self._sessions = sessions
        self._engine = engine
        self._metrics = metrics

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
        """A call begins: the answer, or why there is none."""
        try:
            response = await self._answer(request)
        except SlipstreamError as error:
            self._metrics.offer(getattr(error, "status", 500))
            raise
        self._metrics.offer(200)
        return response

    async def _answer(self, request: web.Request) -> web.Response:
        asked = await _read(request, OfferRequest)
        offer = read_offer(asked.sdp, asked.type)
        if asked.resume is not None and (asked.initialParameters or not offer.sends_video):
            raise RequestError(
                "resume brings a camera back to a stream as it is: offer a video to send, and no "
                "initialParameters"
            )
        answered = await self._sessions.offer(
            offer, asked.initialParameters or Parameters(), view=asked.view, resume=asked.resume
        )
        return _json(
            OfferAnswer(
                sdp=answered.sdp,
                type="answer",
                sessionId=answered.session_id,
                streamId=answered.stream_id,
                resumeToken=answered.resume_token,
                resumeSeconds=self._sessions.hold_s,
            )
        )

    async def candidates(self, request: web.Request) -> web.Response:
        """Addresses of the caller that it has learnt of after its offer."""
        session = self._sessions.find(request.match_info["id"])
        asked = (await _read(request, CandidatesRequest)).candidates
        if len(asked) > MAX_CANDIDATES:
            raise RequestError(f"{len(asked)} candidates in one request, at most {MAX_CANDIDATES}")
        session.add_candidates(
            [read_candidate(one.candidate, one.sdpMid, one.sdpMLineIndex) for one in asked]
        )
        return web.Response(status=204)

    async def hang_up(self, request: web.Request) -> web.Response:
        """A call ends."""
        await self._sessions.close(request.match_info["id"])
        return web.Response(status=204)

    async def ice_servers(self, request: web.Request) -> web.Response:
        return _json(IceServersAnswer(iceServers=self._sessions.ice_servers("page")))

    async def metrics(self, request: web.Request) -> web.Response:
        text = self._metrics.render(self._engine.status, self._sessions.count())
        return web.Response(body=text, headers={"Content-Type": CONTENT_TYPE})


def _level(request: web.Request) -> int:
    """Probes ask every second and are not worth a line each."""
    return logging.DEBUG if request.method == "GET" else logging.INFO


@web.middleware
async def errors_as_json(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Every error as `{"error": reason}`, whatever raised it."""
    try:
        return await handler(request)
    except RequestError as error:
        logger.info("%s %s: %s", request.method, request.path, error)
        response = _error(str(error), error.status)
        if isinstance(error, Unauthorized):
            response.headers["WWW-Authenticate"] = "Bearer"
        return response
    except TooOften as error:  # the rate limit has logged it, once for many
        return _later(error)
    except Unavailable as error:
        logger.log(_level(request), "%s %s: %s", request.method, request.path, error)
        return _later(error)
    except web.RequestPayloadError as error:
        logger.info("%s %s: the body cannot be read: %s", request.method, request.path, error)
        return _error("the body cannot be read; send it whole, and packed as its headers say", 400)
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
    except Exception:
        logger.exception("%s %s failed", request.method, request.path)
        return _error("the server has failed at this request; its log has the reason", 500)


async def _read(request: web.Request, kind: type[Body]) -> Body:
    """The body as `kind`.

    Raises:
        RequestError: if it is not JSON, or not of that form.
    """
    raw = await request.read()
    try:
        return msgspec.json.decode(raw, type=kind)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise RequestError(
            f"the body cannot be read: {error}; it begins with {raw[:40]!r}"
        ) from error


def _json(answer: msgspec.Struct) -> web.Response:
    return web.Response(body=msgspec.json.encode(answer), content_type="application/json")


def _later(error: Unavailable) -> web.Response:
    response = _error(str(error), error.status)
    response.headers["Retry-After"] = str(max(1, math.ceil(error.retry_after_s)))
    return response


def _error(reason: str, status: int) -> web.Response:
    return web.json_response({"error": reason}, status=status)

"""Which node a request goes to: the table of the server's routes as the gate sees them. Pure.

route                                          goes to
POST   /api/v1/webrtc/offer                    by its body: a place, or a stream's node
PATCH, DELETE /api/v1/webrtc/offer/{session}   the session's node
POST   /whip[/{stream}]                        the stream's node, else a place
POST   /whep[/{stream}]                        the stream's node
PATCH, DELETE /whip|whep/{stream}/{session}    the session's node
any    /api/v1/streams/{stream}/...            the stream's node
GET    /api/v1/streams                         all nodes, joined
GET    /health, /ready, /metrics, /api/v1/fleet...   answered by the gate
everything else                                any node: pages, sign-in, preflights
"""

from dataclasses import dataclass
from urllib.parse import unquote

_OFFERS = ("api", "v1", "webrtc", "offer")
_STREAMS = ("api", "v1", "streams")
_CALL_METHODS = ("PATCH", "DELETE")


@dataclass(frozen=True, slots=True)
class ToAnyNode:
    """Whichever node answers: all would answer alike."""


@dataclass(frozen=True, slots=True)
class ToOffer:
    """By what the body asks for."""


@dataclass(frozen=True, slots=True)
class ToPublish:
    """A publisher by WHIP.

    Args:
        stream: its name; empty for one that is to be made up.
    """

    stream: str


@dataclass(frozen=True, slots=True)
class ToStream:
    """The node that has the stream.

    Args:
        stream: its name; empty for the newest.
    """

    stream: str


@dataclass(frozen=True, slots=True)
class ToSession:
    """The node that has the session.

    Args:
        session: as its caller names it.
    """

    session: str


@dataclass(frozen=True, slots=True)
class ToRecordings:
    """All nodes: files stay where they were made.

    Args:
        file: that is wanted; empty for the list.
    """

    file: str


@dataclass(frozen=True, slots=True)
class ToGate:
    """The gate itself.

    Args:
        path: of the request.
    """

    path: str


Route = ToAnyNode | ToOffer | ToPublish | ToStream | ToSession | ToRecordings | ToGate


def route_of(method: str, raw_path: str) -> Route:
    """Where a request goes.

    Args:
        raw_path: of the request, with its escapes.
    """
    segments = tuple(unquote(part, errors="surrogateescape") for part in raw_path.split("/")[1:])
    path = "/" + "/".join(segments)
    if method in ("GET", "HEAD") and _is_gates(segments, path):
        return ToGate(path)
    if method == "POST" and segments[:3] == ("api", "v1", "fleet"):
        return ToGate(path)
    if segments == _OFFERS and method == "POST":
        return ToOffer()
    if segments[:4] == _OFFERS and len(segments) == 5 and method in _CALL_METHODS:
        return ToSession(segments[4])
    if segments[0] in ("whip", "whep"):
        return _media_route(method, segments)
    if segments[:3] == _STREAMS and segments[4:5] == ("recordings",) and method in ("GET", "HEAD"):
        return ToRecordings("/".join(segments[5:]))
    if segments[:3] == _STREAMS and len(segments) > 3 and method != "OPTIONS":
        return ToStream(segments[3]) if segments[3] != "*" else ToAnyNode()
    return ToAnyNode()


def _is_gates(segments: tuple[str, ...], path: str) -> bool:
    own = ("/health", "/ready", "/metrics", "/api/v1/streams")
    return path in own or segments[:3] == ("api", "v1", "fleet")


def _media_route(method: str, segments: tuple[str, ...]) -> Route:
    if len(segments) == 3 and method in _CALL_METHODS:
        return ToSession(segments[2])
    if len(segments) <= 2 and method == "POST":
        name = segments[1] if len(segments) == 2 else ""
        return ToPublish(name) if segments[0] == "whip" else ToStream(name)
    return ToAnyNode()

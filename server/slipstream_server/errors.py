"""Every error of the server that people see, as one tree.

    SlipstreamError
    +-- ConfigError            a setting is not valid
    +-- PortBusy               the port of HTTP, or of media, is taken
    +-- CameraRefused          the camera's picture has a size that is not served
    +-- RequestError           400: the caller's fault
    |   +-- Unauthorized       401: no token, or a wrong one
    |   +-- Forbidden          403: from another site, or more than its token allows
    |   +-- UnknownSession     404
    |   +-- NotAcceptable      406: no codec in common
    |   +-- BodyTooLate        408: the body does not come
    |   +-- Conflict           409: another caller has it
    |   +-- LengthRequired     411: the body does not say how long it is
    |   +-- StaleTag           412: about an earlier state of the session
    |   +-- WrongType          415: the body is of another type
    |   +-- Unprocessable      422: understood, and not possible here
    +-- Unavailable            503: not the caller's fault; says when to try again
        +-- EngineUnavailable  the engine loads, or is down
        +-- ServerStops        it is being stopped
        +-- ServerFull         every place is taken
        |   +-- PortsTaken     every UDP port for media is taken
        |   +-- SocketsTaken   the process may open no more sockets
        |   +-- EngineFull     by what the engine has promised
        |   +-- Queued         and the caller waits in the line for one
        +-- TooOften           429: one address sends too many requests

Messages name the value, the rule and what to do; they are shown to people as they are.
"""

from typing import ClassVar


class SlipstreamError(Exception):
    """The root."""


class ConfigError(SlipstreamError):
    """A setting is not valid."""


class PortBusy(SlipstreamError):
    """The port of HTTP, or of media, is taken."""


class CameraRefused(SlipstreamError):
    """The camera's picture has a size that is not served."""


class RequestError(SlipstreamError):
    """The request cannot be served as it is."""

    status: ClassVar[int] = 400


class Unauthorized(RequestError):
    """The request has no token, or a wrong one."""

    status: ClassVar[int] = 401


class Forbidden(RequestError):
    """The request comes from another site, or its token does not allow it."""

    status: ClassVar[int] = 403


class UnknownSession(RequestError):
    """There is no such session or stream, or it has ended."""

    status: ClassVar[int] = 404


class NotAcceptable(RequestError):
    """The offer has no codec that is served here."""

    status: ClassVar[int] = 406


class BodyTooLate(RequestError):
    """The body of the request does not come in time."""

    status: ClassVar[int] = 408


class Conflict(RequestError):
    """Another caller has what is requested."""

    status: ClassVar[int] = 409


class LengthRequired(RequestError):
    """The body of the request does not say how long it is."""

    status: ClassVar[int] = 411


class StaleTag(RequestError):
    """The request is about an earlier state of the session."""

    status: ClassVar[int] = 412


class WrongType(RequestError):
    """The body is of a type that is not accepted here."""

    status: ClassVar[int] = 415


class Unprocessable(RequestError):
    """The request is understood, and what it requests is not possible."""

    status: ClassVar[int] = 422


class Unavailable(SlipstreamError):
    """Not possible now; `retry_after_s` is when to try again."""

    status: ClassVar[int] = 503

    def __init__(self, reason: str, *, retry_after_s: float) -> None:
        super().__init__(reason)
        self.retry_after_s = retry_after_s


class EngineUnavailable(Unavailable):
    """The engine loads, or is down."""


class ServerStops(Unavailable):
    """The server is being stopped and takes no new calls."""


class ServerFull(Unavailable):
    """Every place is taken."""


class PortsTaken(ServerFull):
    """Every UDP port for media is taken."""


class SocketsTaken(ServerFull):
    """The process, or the system, may open no more sockets."""


class EngineFull(ServerFull):
    """Another stream would be served less than it is promised, or there is no memory for one more.

    Args:
        fits_without: so many of the streams that may be ended for it have to be ended first; 0
            where that is no use.
    """

    def __init__(self, reason: str, *, retry_after_s: float, fits_without: int) -> None:
        super().__init__(reason, retry_after_s=retry_after_s)
        self.fits_without = fits_without


class Queued(ServerFull):
    """Every place is taken, and the caller waits in the line for one.

    Args:
        place: in the line, 1 being the next.
        waiting: how many wait, the caller among them.
        ticket: of the place, to be sent when the caller asks again; empty where it is not needed.
    """

    def __init__(
        self, reason: str, *, retry_after_s: float, place: int, waiting: int, ticket: str
    ) -> None:
        super().__init__(reason, retry_after_s=retry_after_s)
        self.place = place
        self.waiting = waiting
        self.ticket = ticket


class TooOften(Unavailable):
    """One address sends too many requests, or wrong tokens."""

    status: ClassVar[int] = 429


def streams_full(streams: int, *, retry_after_s: float) -> ServerFull:
    """The error for one stream more than `streams`, the most there may be."""
    return ServerFull(
        f"all {streams} streams are in use; wait until one ends, or start the server with a larger "
        "--max-streams",
        retry_after_s=retry_after_s,
    )


def subscribers_full(subscribers: int, *, retry_after_s: float) -> ServerFull:
    """The error for one subscriber more than `subscribers`, the most there may be."""
    return ServerFull(
        f"{subscribers} viewers are watching already; wait until one leaves, or start the server "
        "with a larger --max-viewers",
        retry_after_s=retry_after_s,
    )

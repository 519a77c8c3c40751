"""Everything that can go wrong and be told, as one tree.

    SlipstreamError
    +-- ConfigError            a setting cannot be
    +-- PortBusy               the HTTP port is taken
    +-- RequestError           the caller's fault, answered 400
    |   +-- Unauthorized       401: no token, or a wrong one
    |   +-- Forbidden          403: from another site
    |   +-- UnknownSession     404
    |   +-- NotAcceptable      406: no codec in common
    |   +-- Conflict           409: somebody else has it
    |   +-- StaleTag           412: of an earlier state of the session
    |   +-- WrongType          415: the body is of another type
    |   +-- Unprocessable      422: understood, and not possible here
    +-- CameraRefused          a picture of a size that cannot be
    +-- Unavailable            503: not the caller's fault; says when to ask again
        +-- EngineUnavailable  the engine loads, or is down
        +-- ServerFull         every place is taken
            +-- PortsTaken     every UDP port that may be used is
        +-- TooOften           429: one address asks too often

Messages carry the value, the rule and what to do; they are shown to people as they are.
"""

from typing import ClassVar


class SlipstreamError(Exception):
    """The root."""


class ConfigError(SlipstreamError):
    """A setting cannot be."""


class PortBusy(SlipstreamError):
    """The HTTP port is taken."""


class RequestError(SlipstreamError):
    """The request cannot be served as it is."""

    status: ClassVar[int] = 400


class Unauthorized(RequestError):
    """No token came along, or a wrong one."""

    status: ClassVar[int] = 401


class Forbidden(RequestError):
    """The request comes from where none may come."""

    status: ClassVar[int] = 403


class UnknownSession(RequestError):
    """There is no such session, or it has ended."""

    status: ClassVar[int] = 404


class NotAcceptable(RequestError):
    """Nothing the caller offers can be used here."""

    status: ClassVar[int] = 406


class Conflict(RequestError):
    """Somebody else has what is asked for."""

    status: ClassVar[int] = 409


class StaleTag(RequestError):
    """The request is about a state the session has left."""

    status: ClassVar[int] = 412


class WrongType(RequestError):
    """The body is of a type that is not taken here."""

    status: ClassVar[int] = 415


class Unprocessable(RequestError):
    """The request is understood, and asks for what cannot be."""

    status: ClassVar[int] = 422


class Unavailable(SlipstreamError):
    """Not now; `retry_after_s` is when to ask again."""

    status: ClassVar[int] = 503

    def __init__(self, reason: str, *, retry_after_s: float) -> None:
        super().__init__(reason)
        self.retry_after_s = retry_after_s


class EngineUnavailable(Unavailable):
    """The engine loads, or is down."""


class ServerFull(Unavailable):
    """Every place is taken."""


class PortsTaken(ServerFull):
    """Every UDP port that may be used is taken."""


class TooOften(Unavailable):
    """One address asks too often."""

    status: ClassVar[int] = 429


class CameraRefused(SlipstreamError):
    """The camera's picture is of a size that cannot be."""

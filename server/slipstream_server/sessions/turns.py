"""In whose turn a call is opened: places are given in the order in which callers have asked."""

import contextlib
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from slipstream_protocol.clock import NS_PER_S

from slipstream_server.errors import Queued, ServerFull
from slipstream_server.sessions.waiting_line import WaitingCaller, WaitingLine

ASSUMED_FPS = 30.0  # of a camera that does not say
LOWEST_FPS, HIGHEST_FPS = 1.0, 240.0
PATIENCE_S = 600
_ASK_AGAIN_S = 3.0
_SILENCE_S = 10  # of a page, which asks every three seconds
_NAMED_SILENCE_S = 20  # of a program that tries again by itself, with pauses of its own


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaceRequest:
    """What a caller says of the place that it asks for.

    Args:
        camera_fps: its camera's rate, which its stream is promised; more than that is served where
            nobody else has less for it.
        waits: whether it waits in the line where there is none.
        ticket: of the place in the line that it has already; empty if it has none.
        name: of a caller that comes back under it, and needs no ticket; empty if it does not.
    """

    camera_fps: float = ASSUMED_FPS
    waits: bool = False
    ticket: str = ""
    name: str = ""


ANY_PLACE = PlaceRequest()


class Turns:
    """Lets calls be opened in turn, each within a block.

    Args:
        places: of the line.
        clock: gives the monotonic time in ns.
    """

    def __init__(self, *, places: int, clock: Callable[[], int]) -> None:
        self._line = WaitingLine(places=places, patience_ns=PATIENCE_S * NS_PER_S)
        self._clock = clock
        self._reason = ""  # why the first in the line had to wait when it asked last

    @property
    def leavings(self) -> dict[str, int]:
        """Callers who have left the line, by cause."""
        return self._line.leavings

    def count(self) -> int:
        """How many wait now."""
        self._line.refresh(self._clock())
        return len(self._line)

    @contextlib.contextmanager
    def turn(self, request: PlaceRequest, client: str) -> Iterator[None]:
        """The opening of a call.

        Raises:
            Queued: where it is not its turn, or the block has found no place; it waits then.
            ServerFull: likewise, where it does not wait.
        """
        self._line.refresh(self._clock())
        caller = self._caller(request, client)
        key = caller.key if caller is not None else ""
        if not self._line.is_next(key):
            raise self._refusal(caller, self._reason, _ASK_AGAIN_S)
        try:
            yield
        except ServerFull as error:
            self._reason = str(error)
            raise self._refusal(caller, self._reason, error.retry_after_s) from error
        self._line.admit(key)

    def _caller(self, request: PlaceRequest, client: str) -> WaitingCaller | None:
        if request.name:
            return WaitingCaller(
                key=f"name {request.name}",
                client=client,
                silence_ns=_NAMED_SILENCE_S * NS_PER_S,
            )
        if not (request.waits or request.ticket):
            return None
        is_known = self._line.is_known(request.ticket)
        key = request.ticket if is_known else secrets.token_urlsafe(12)
        return WaitingCaller(key=key, client=client, silence_ns=_SILENCE_S * NS_PER_S)

    def _refusal(
        self, caller: WaitingCaller | None, reason: str, retry_after_s: float
    ) -> ServerFull:
        place = None if caller is None else self._line.ask(caller, self._clock())
        waiting = len(self._line)
        if caller is None or place is None:
            others = f"; {waiting} wait for a place" if waiting else ""
            return ServerFull(f"{reason}{others}", retry_after_s=retry_after_s)
        return Queued(
            f"{reason}; you are number {place} of {waiting} in the line",
            retry_after_s=_ASK_AGAIN_S,
            place=place,
            waiting=waiting,
            ticket="" if caller.key.startswith("name ") else caller.key,
        )

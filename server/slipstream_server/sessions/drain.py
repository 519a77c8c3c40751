"""The time from the request to stop until calls are ended. Pure: times are arguments."""

from slipstream_protocol.clock import NS_PER_S

from slipstream_server.control.events import SERVER_STOPS, ServerStopping
from slipstream_server.errors import ServerStops

_RESTART_S = 5.0  # until the next server may take calls, where there is one
_ELSEWHERE_S = 1.0  # until another server is asked, where there are others


class Drain:
    """New calls are refused, and those there are may come to their end.

    Args:
        drain_s: how long they may take.
        now_ns: when it begins.
        hands_over: other servers take calls meanwhile, at the same address.
    """

    def __init__(self, *, drain_s: float, now_ns: int, hands_over: bool) -> None:
        self._ends_ns = now_ns + round(drain_s * NS_PER_S)
        self._hands_over = hands_over

    def remaining_s(self, now_ns: int) -> float:
        """Until calls are ended, at least 0."""
        return max(0, self._ends_ns - now_ns) / NS_PER_S

    def refusal(self, now_ns: int) -> ServerStops:
        """The error for a new call."""
        if self._hands_over:
            return ServerStops(
                f"{SERVER_STOPS} and takes no new calls; try again, others do",
                retry_after_s=_ELSEWHERE_S,
            )
        return ServerStops(
            f"{SERVER_STOPS} and takes no new calls; try again once it, or the next one, runs",
            retry_after_s=self.remaining_s(now_ns) + _RESTART_S,
        )

    def notice(self, now_ns: int, *, resume_token: str | None) -> ServerStopping:
        """What a call's page is told.

        Args:
            resume_token: of the stream that the call publishes; None for one that watches.
        """
        return ServerStopping(
            reason=SERVER_STOPS,
            ends_in_s=round(self.remaining_s(now_ns), 1),
            resume_token=resume_token,
            hands_over=self._hands_over,
        )

"""The data channel of one call: JSON in, updates to the queue, answers out. Pure.

Texts and times come in, events go out through the callables.
"""

from collections.abc import Callable

from slipstream_protocol.clock import NS_PER_MS, NS_PER_S
from slipstream_protocol.parameters import Parameters

from slipstream_server.control.events import Ack, FirstShown, LevelAnswer, Ping, Pong
from slipstream_server.control.incoming import parse, rev_of
from slipstream_server.control.update_queue import SendEvent, UpdateQueue
from slipstream_server.observability.client_stats import ClientStats
from slipstream_server.token_bucket import TokenBucket

MESSAGES_PER_S = 100
MESSAGES_BURST = 200
CLIENT_STATS_MIN_INTERVAL_NS = NS_PER_S // 2  # pages send once a second; timers are not exact


class ParameterChannel:
    """Answers the messages of one page.

    Args:
        updates: where its parameter updates go.
        send: sends an event to the page.
        on_first_shown: called when the first frame is on the page's screen, with the
            time of that on our clock, in ns, if the page gives it, and the present.
        on_client_stats: called with the statistics of the page's browser, and the present.
        on_level_answer: called with whether the viewer's own steps are kept.
    """

    def __init__(
        self,
        updates: UpdateQueue,
        *,
        send: SendEvent,
        on_first_shown: Callable[[int | None, int], None],
        on_client_stats: Callable[[ClientStats, int], None],
        on_level_answer: Callable[[bool], None],
    ) -> None:
        self.has_pinged = False
        self._updates = updates
        self._send = send
        self._on_first_shown = on_first_shown
        self._on_client_stats = on_client_stats
        self._on_level_answer = on_level_answer
        self._client_stats_ns: int | None = None  # when the last ones were taken
        self._bucket = TokenBucket(rate_per_s=MESSAGES_PER_S, burst=MESSAGES_BURST)
        self._is_limited = False

    def receive(self, raw: str | bytes, now_ns: int) -> None:
        """Answer one message of the page."""
        if not self._take_token(now_ns):
            return
        try:
            message = parse(raw)
        except ValueError as error:
            self._reject(rev_of(raw), str(error))
            return
        match message:
            case Ping(t=t):
                self.has_pinged = True
                self._send(Pong(t=t, server_ns=now_ns))
            case FirstShown(server_ms=shown_ms):
                shown_ns = None if shown_ms is None else round(shown_ms * NS_PER_MS)
                self._on_first_shown(shown_ns, now_ns)
            case ClientStats():
                self._take_client_stats(message, now_ns)
            case LevelAnswer(keep=keep):
                self._on_level_answer(keep)
            case Parameters():
                self._updates.submit(message, self._send)

    def submit(self, parameters: Parameters, now_ns: int, send: SendEvent) -> bool:
        """Take an update from elsewhere, answered by `send`; False if there are too many."""
        if not self._take_token(now_ns):
            return False
        self._updates.submit(parameters, send)
        return True

    def _take_client_stats(self, stats: ClientStats, now_ns: int) -> None:
        last_ns = self._client_stats_ns
        if last_ns is not None and now_ns - last_ns < CLIENT_STATS_MIN_INTERVAL_NS:
            since_ms = (now_ns - last_ns) // NS_PER_MS
            self._reject(
                None, f"client_stats came {since_ms} ms after the last, send them once a second"
            )
            return
        self._client_stats_ns = now_ns
        self._on_client_stats(stats, now_ns)

    def _take_token(self, now_ns: int) -> bool:
        """Whether one more message may be answered; the first that may not is answered with why."""
        if not self._bucket.take(1, now_ns):
            if not self._is_limited:
                self._is_limited = True
                self._reject(None, f"more than {MESSAGES_PER_S} messages a second, send fewer")
            return False
        if self._bucket.wait_s(MESSAGES_BURST / 2, now_ns) == 0:
            self._is_limited = False
        return True

    def _reject(self, rev: int | None, reason: str) -> None:
        self._send(Ack(rev=rev, status="rejected", errors=(reason,)))

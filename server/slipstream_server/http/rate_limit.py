"""Requests that come too often are answered 429, before anything is spent on them."""

import logging

from aiohttp import web
from slipstream_protocol.clock import now_ns

from slipstream_server.errors import TooOften
from slipstream_server.http.access import Handler
from slipstream_server.http.client_buckets import ClientBuckets, client_key, is_loopback

logger = logging.getLogger(__name__)

_CALLERS = 4096
_REQUESTS_PER_S = 50.0
_REQUESTS_BURST = 300
_OFFERS_BURST_S = 10.0  # of the rate: a family behind one address opens its pages at once
_OWN_MACHINE = 20  # a proxy on this machine asks for many, and so do tests
_SECONDS_PER_MINUTE = 60


class RateLimit:
    """Counts requests, and offers apart, for each address.

    Offers cost a hundred times what other requests do: each makes sockets, keys and a stream.

    Args:
        offers_per_minute: of one address; 0 sets no limit to anything.
    """

    def __init__(self, offers_per_minute: int) -> None:
        per_s = offers_per_minute / _SECONDS_PER_MINUTE
        self._limits = {own: _Limits(per_s, own) for own in (False, True)} if per_s else {}

    @web.middleware
    async def check(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Refuse what comes too often."""
        caller = client_key(request.remote)
        limits = self._limits.get(is_loopback(caller))
        if limits is not None:
            limits.count(caller, is_offer=request.method == "POST")
        return await handler(request)


class _Limits:
    """The limits of one kind of address."""

    def __init__(self, offers_per_s: float, own_machine: bool) -> None:
        times = _OWN_MACHINE if own_machine else 1
        self._requests = ClientBuckets(
            rate_per_s=_REQUESTS_PER_S * times, burst=_REQUESTS_BURST * times, capacity=_CALLERS
        )
        self._offers = ClientBuckets(
            rate_per_s=offers_per_s * times,
            burst=max(1.0, offers_per_s * times * _OFFERS_BURST_S),
            capacity=_CALLERS,
        )
        self._refused = ""  # who was refused last: the log names each flood once, not each request

    def count(self, caller: str, *, is_offer: bool) -> None:
        """Raise TooOften if the caller asks too often."""
        now = now_ns()
        for what, callers in (("offers", self._offers), ("requests", self._requests)):
            if what == "offers" and not is_offer:
                continue
            if wait_s := callers.wait_s(caller, now):
                if caller != self._refused:
                    self._refused = caller
                    logger.warning("%s makes too many %s and is refused", caller, what)
                raise TooOften(
                    f"too many {what} come from {caller}; ask again in {wait_s:.1f} s, or start "
                    "the server with a larger --offers-per-minute",
                    retry_after_s=wait_s,
                )

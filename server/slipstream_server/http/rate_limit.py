"""Rate limits: requests beyond them are answered 429, before anything is spent on them.

They are counted by caller. What a proxy passes on is counted under its own address too: a caller
that makes up addresses where a proxy does not write them gains nothing by it.
"""

import ipaddress
import logging
from collections import OrderedDict
from enum import StrEnum

from aiohttp import web
from slipstream_protocol.clock import now_ns

from slipstream_server.errors import TooOften, UnknownSession
from slipstream_server.http.forwarded import Caller
from slipstream_server.http.outside import Handler, caller_of
from slipstream_server.token_bucket import TokenBucket

logger = logging.getLogger(__name__)

_CLIENTS = 4096
_REQUESTS_PER_S = 50.0
_REQUESTS_BURST = 300
_OFFERS_BURST_S = 10.0  # of the rate: a family behind one address opens its pages at once
_SHARED_FACTOR = 20  # a proxy sends the requests of many, and so do tests on this machine
_SECONDS_PER_MINUTE = 60
_IPV6_SITE_BITS = 64  # the least that a provider gives to one customer


class RateLimit:
    """Limits requests, and offers separately, of each address.

    Offers cost a hundred times what other requests do: each makes sockets, keys and a stream. Those
    of WHEP have a credit of their own, so that viewers do not use up a publisher's, and one for a
    stream that is not there costs nothing: players wait for a stream by asking for it.

    Args:
        offers_per_minute: of one address; 0 means no limit of either kind.
    """

    def __init__(self, offers_per_minute: int) -> None:
        offers_per_s = offers_per_minute / _SECONDS_PER_MINUTE
        self._is_limited = offers_per_minute > 0
        if self._is_limited:
            self._own = _ClientLimits(offers_per_s, factor=1)
            self._shared = _ClientLimits(offers_per_s, factor=_SHARED_FACTOR)

    @web.middleware
    async def limit(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Raise TooOften if the client makes too many requests."""
        if not self._is_limited:
            return await handler(request)
        kind = _kind_of(request)
        counts = self._counts(caller_of(request))
        for limits, client in counts:
            limits.count(client, kind)
        try:
            return await handler(request)
        except UnknownSession:
            if kind is Kind.WATCH:
                for limits, client in counts:
                    limits.give_back(client, kind)
            raise

    def _counts(self, caller: Caller) -> "list[tuple[_ClientLimits, str]]":
        """Where a request is counted. The caller comes first: one that is refused does not use up
        what its proxy may send for others."""
        client, proxy = client_key(caller.address), client_key(caller.proxy)
        if is_loopback(client) or client == proxy:
            return [(self._shared, client)]
        return [(self._own, client), *([(self._shared, proxy)] if caller.proxy else [])]


class Kind(StrEnum):
    """What a request may cost."""

    REQUEST = "requests"
    OFFER = "offers"
    WATCH = "offers to watch"


def _kind_of(request: web.Request) -> Kind:
    if request.method != "POST":
        return Kind.REQUEST
    return Kind.WATCH if request.path.startswith("/whep") else Kind.OFFER


class _ClientLimits:
    """The limits of single callers, or those of addresses that many may be behind."""

    def __init__(self, offers_per_s: float, *, factor: int) -> None:
        offers_per_s *= factor
        burst = max(1.0, offers_per_s * _OFFERS_BURST_S)
        self._buckets = {
            Kind.REQUEST: ClientBuckets(
                rate_per_s=_REQUESTS_PER_S * factor,
                burst=_REQUESTS_BURST * factor,
                capacity=_CLIENTS,
            ),
            Kind.OFFER: ClientBuckets(rate_per_s=offers_per_s, burst=burst, capacity=_CLIENTS),
            Kind.WATCH: ClientBuckets(rate_per_s=offers_per_s, burst=burst, capacity=_CLIENTS),
        }
        self._last_refused = ""  # each flood is logged once, not each of its requests

    def count(self, client: str, kind: Kind) -> None:
        """Count a request. Raises TooOften if it is beyond a limit."""
        now = now_ns()
        if kind is not Kind.REQUEST:
            self._take(kind, client, now)
        self._take(Kind.REQUEST, client, now)

    def give_back(self, client: str, kind: Kind) -> None:
        """An offer has cost nothing; as a request it counts."""
        self._buckets[kind].give_back(client, now_ns())

    def _take(self, kind: Kind, client: str, now: int) -> None:
        wait_s = self._buckets[kind].take(client, now)
        if not wait_s:
            return
        if client != self._last_refused:
            self._last_refused = client
            logger.warning("%s makes too many %s and is refused", client, kind)
        raise TooOften(
            f"too many {kind} come from {client}; ask again in {wait_s:.1f} s, or start "
            "the server with a larger --offers-per-minute",
            retry_after_s=wait_s,
        )


class ClientBuckets:
    """A token bucket for each client; the one unused for longest is forgotten first.

    Pure: names and times are arguments.

    Args:
        rate_per_s: requests a second that a client may make.
        burst: requests it may make at once.
        capacity: clients remembered.

    Raises:
        ValueError: if `capacity` is less than 1.
    """

    def __init__(self, *, rate_per_s: float, burst: float, capacity: int) -> None:
        if capacity < 1:
            raise ValueError(f"capacity is {capacity}, it must be at least 1")
        self._rate_per_s = rate_per_s
        self._burst = burst
        self._capacity = capacity
        self._buckets: OrderedDict[str, TokenBucket] = OrderedDict()

    def __len__(self) -> int:
        return len(self._buckets)

    def take(self, client: str, now_ns: int) -> float:
        """Count a request; returns 0, or in how many seconds a refused client may try again."""
        bucket = self._buckets.pop(client, None)
        if bucket is None:
            bucket = TokenBucket(rate_per_s=self._rate_per_s, burst=self._burst)
        self._buckets[client] = bucket
        self._forget(now_ns)
        return 0.0 if bucket.take(1, now_ns) else bucket.wait_s(1, now_ns)

    def give_back(self, client: str, now_ns: int) -> None:
        """A request that was counted is to count no more; nothing for a client forgotten since."""
        if client in self._buckets:
            self._buckets[client].give_back(1, now_ns)

    def _forget(self, now_ns: int) -> None:
        """Forget clients beyond the capacity, and the oldest one if its bucket is full again."""
        while len(self._buckets) > self._capacity:
            self._buckets.popitem(last=False)
        oldest = next(iter(self._buckets))
        if self._buckets[oldest].is_full(now_ns) and len(self._buckets) > 1:
            del self._buckets[oldest]


def client_key(address: str | None) -> str:
    """The client that an address belongs to: the address itself, or the /64 of an IPv6 address."""
    try:
        parsed = ipaddress.ip_address((address or "").partition("%")[0])
    except ValueError:
        return "unknown"
    if isinstance(parsed, ipaddress.IPv4Address):
        return str(parsed)
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    if parsed.is_loopback:
        return str(parsed)
    return str(ipaddress.ip_network((parsed, _IPV6_SITE_BITS), strict=False))


def counted_client(request: web.Request) -> str:
    """The address whose unconnected calls are counted; empty for this machine's own and for that of
    a proxy which does not say whose a call is: many are behind it, and it can count them."""
    caller = caller_of(request)
    client = client_key(caller.address)
    is_many = is_loopback(client) or caller.address == caller.proxy
    return "" if client == "unknown" or is_many else client


def is_loopback(client: str) -> bool:
    """Whether a client, as `client_key` names it, is this machine."""
    try:
        return ipaddress.ip_address(client).is_loopback
    except ValueError:
        return False

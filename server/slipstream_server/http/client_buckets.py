"""How often one address may send a request: a token bucket for each. Pure."""

import ipaddress
from collections import OrderedDict

from slipstream_server.token_bucket import TokenBucket

_IPV6_SITE = 64  # one customer has at least so many bits of addresses


class ClientBuckets:
    """A bucket for each caller, the longest silent forgotten first.

    Args:
        rate_per_s: requests a second that a caller may make.
        burst: requests it may make at once.
        capacity: callers remembered.

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

    def wait_s(self, caller: str, now_ns: int) -> float:
        """0 if the caller may ask now, which is counted; else when it may ask again."""
        bucket = self._buckets.pop(caller, None)
        if bucket is None:
            bucket = TokenBucket(rate_per_s=self._rate_per_s, burst=self._burst)
        self._buckets[caller] = bucket
        self._forget(now_ns)
        return 0.0 if bucket.take(1, now_ns) else bucket.wait_s(1, now_ns)

    def _forget(self, now_ns: int) -> None:
        """Those too many, and of the longest silent the one that is as good as new."""
        while len(self._buckets) > self._capacity:
            self._buckets.popitem(last=False)
        oldest = next(iter(self._buckets))
        if self._buckets[oldest].is_full(now_ns) and len(self._buckets) > 1:
            del self._buckets[oldest]


def client_key(address: str | None) -> str:
    """Whom an address belongs to: itself, or the site of an IPv6 address."""
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
    return str(ipaddress.ip_network((parsed, _IPV6_SITE), strict=False))


def is_loopback(caller: str) -> bool:
    """Whether a caller, as `client_key` names it, is this machine itself."""
    try:
        return ipaddress.ip_address(caller).is_loopback
    except ValueError:
        return False

"""UDP ports and addresses of calls' media, as bound and as advertised in candidates. Pure."""

import ipaddress
import re
from collections.abc import Iterator
from dataclasses import dataclass

_RANGE = re.compile(r"(\d{1,5})-(\d{1,5})")
LOWEST_PORT = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class PortRange:
    """UDP ports, both ends included.

    Raises:
        ValueError: unless 1024 <= low <= high <= 65535.
    """

    low: int
    high: int

    def __post_init__(self) -> None:
        if not LOWEST_PORT <= self.low <= self.high <= 65535:
            raise ValueError(
                f"{self}, it must be LOW-HIGH with {LOWEST_PORT} <= LOW <= HIGH <= 65535"
            )

    def __str__(self) -> str:
        return f"{self.low}-{self.high}"

    @classmethod
    def parse(cls, text: str) -> "PortRange":
        """Parse `LOW-HIGH`. Raises ValueError if `text` is not of that form."""
        found = _RANGE.fullmatch(text.strip())
        if found is None:
            raise ValueError(f"{text!r}, it must be LOW-HIGH, for example 50000-50100")
        return cls(low=int(found[1]), high=int(found[2]))

    def __len__(self) -> int:
        return self.high - self.low + 1

    def each(self, first: int) -> Iterator[int]:
        """Every port once, beginning with `low + first`, wrapping around at `high`."""
        for step in range(len(self)):
            yield self.low + (first + step) % len(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaAddressing:
    """Where the media of every call are bound, and which addresses callers get.

    Args:
        loopback: whether 127.0.0.1 is offered as a candidate too.
        ports: UDP ports to bind; any free ones if None.
        public_ip: advertised in place of this machine's own addresses of the same IP version, where
            a router forwards them one to one (1:1 NAT); empty if there is none.
    """

    loopback: bool = False
    ports: PortRange | None = None
    public_ip: str = ""

    def advertised(self, address: str) -> str:
        """The address that candidates carry for `address`, one of this machine's own."""
        if not self.public_ip:
            return address
        own, public = ipaddress.ip_address(address), ipaddress.ip_address(self.public_ip)
        return address if own.is_loopback or own.version != public.version else self.public_ip

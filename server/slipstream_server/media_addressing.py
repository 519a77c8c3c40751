"""Where a call's media can be reached: ports, addresses, and how they are told. Pure."""

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
        ValueError: if there can be no such range.
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
        """Of `LOW-HIGH`. Raises ValueError if it is not that."""
        found = _RANGE.fullmatch(text.strip())
        if found is None:
            raise ValueError(f"{text!r}, it must be LOW-HIGH, for example 50000-50100")
        return cls(low=int(found[1]), high=int(found[2]))

    def __len__(self) -> int:
        return self.high - self.low + 1

    def each(self, first: int) -> Iterator[int]:
        """Every port once, beginning with the one `first` places above the lowest."""
        for step in range(len(self)):
            yield self.low + (first + step) % len(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaAddressing:
    """What the media of every call are reached by.

    Args:
        loopback: whether 127.0.0.1 is offered too.
        ports: to be bound; any free ones if None.
        public_ip: told to callers in the place of this machine's own addresses of its kind, where
            a router hands everything on one to one; empty if there is none.
    """

    loopback: bool = False
    ports: PortRange | None = None
    public_ip: str = ""

    def told(self, address: str) -> str:
        """The address that callers are told for one of this machine's own."""
        if not self.public_ip:
            return address
        own, public = ipaddress.ip_address(address), ipaddress.ip_address(self.public_ip)
        return address if own.is_loopback or own.version != public.version else self.public_ip

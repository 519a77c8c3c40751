"""UDP ports and addresses of calls' media, as bound and as advertised in candidates. Pure."""

import ipaddress
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

_RANGE = re.compile(r"(\d{1,5})-(\d{1,5})")
_LABEL = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?")
_NAME_MAX = 253
LOWEST_PORT = 1024
PUBLIC_MAX = 8  # each is one more candidate for every address of the machine


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


class PublicAddresses:
    """The addresses under which a router forwards to this machine, some known by a name only.

    A name is looked up elsewhere (`ice/public_names.py`); until then it stands for nothing.

    Args:
        entries: addresses and host names.
    """

    def __init__(self, entries: Iterable[str] = ()) -> None:
        self._found: dict[str, tuple[str, ...]] = {
            one: () if _is_name(one) else (one,) for one in dict.fromkeys(entries)
        }

    @classmethod
    def parse(cls, text: str) -> "PublicAddresses":
        """Parse entries with commas between them.

        Raises:
            ValueError: if one is neither an address nor a host name, or there are too many.
        """
        entries = [entry for part in text.split(",") if (entry := part.strip())]
        for entry in entries:
            _check_entry(entry)
        if len(entries) > PUBLIC_MAX:
            raise ValueError(f"{len(entries)} entries, at most {PUBLIC_MAX}; leave some out")
        return cls(entries)

    @property
    def names(self) -> tuple[str, ...]:
        """The entries that are to be looked up, again and again."""
        return tuple(entry for entry in self._found if _is_name(entry))

    @property
    def known(self) -> tuple[str, ...]:
        """The addresses that are known now, each once."""
        found = [address for addresses in self._found.values() for address in addresses]
        return tuple(dict.fromkeys(found))

    def learn(self, name: str, addresses: Iterable[str]) -> bool:
        """Note what a name stands for now; returns whether that has changed.

        With no addresses the last known ones are kept: a name server that is down moves nobody.
        """
        new = tuple(dict.fromkeys(addresses))[:PUBLIC_MAX]
        if not new or self._found[name] == new:
            return False
        self._found[name] = new
        return True


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaAddressing:
    """Where the media of every call are bound, and which addresses callers get.

    Args:
        loopback: whether all callers are on this machine: 127.0.0.1 is offered as a candidate too.
        allow_private: whether callers' loopback, link-local and private addresses are checked; with
            `loopback` they are in any case.
        ports: UDP ports to bind; any free ones if None.
        port: the one UDP and TCP port of all calls, in place of `ports`; None if each has its own.
        public: where a router forwards to this machine's own addresses, one to one (1:1 NAT).
    """

    loopback: bool = False
    allow_private: bool = False
    ports: PortRange | None = None
    port: int | None = None
    public: PublicAddresses = field(default_factory=PublicAddresses)

    @property
    def checks_private(self) -> bool:
        """Whether callers' loopback, link-local and private addresses are checked."""
        return self.allow_private or self.loopback

    @property
    def is_reachable(self) -> bool:
        """Whether callers everywhere reach this machine by itself, as its operator says."""
        return bool(self.public.known)

    def advertised(self, address: str) -> tuple[str, ...]:
        """The addresses that candidates carry for `address`, one of this machine's own.

        The first is its own, for callers in the same network; then come the public ones of the
        same IP version, unless it is a loopback address.
        """
        own = ipaddress.ip_address(address)
        public = [] if own.is_loopback else self.public.known
        return tuple(
            dict.fromkeys(
                [
                    address,
                    *(one for one in public if ipaddress.ip_address(one).version == own.version),
                ]
            )
        )


def _is_name(entry: str) -> bool:
    try:
        ipaddress.ip_address(entry)
    except ValueError:
        return True
    return False


def _check_entry(entry: str) -> None:
    """Raise ValueError unless it is an address that one machine can have, or a host name.

    A name's last label has a letter (RFC 3696, section 2): resolvers complete "203.0.113".
    """
    if _is_name(entry):
        labels = entry.removesuffix(".").split(".")
        is_host = all(map(_LABEL.fullmatch, labels)) and not labels[-1].isdigit()
        if not is_host or len(entry) > _NAME_MAX:
            raise ValueError(
                f"{entry[:80]!r}, it must be an IPv4 or IPv6 address or a host name, or some with "
                "commas between them"
            )
        return
    address = ipaddress.ip_address(entry)
    if address.is_unspecified or address.is_multicast:
        raise ValueError(f"{entry!r}, it must be an address that one machine can have")

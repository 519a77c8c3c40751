"""Which addresses of the other side this one may send connectivity checks to. Pure.

Whoever makes an offer chooses where its checks go (RFC 8445, section 19.5.1): into the server's own
network, to this machine's services, to a victim elsewhere. Checks are therefore sent to few
addresses, and to those alone where callers live. Nothing is lost: a caller that reaches us sends
checks by itself, and is answered where they come from.
"""

import ipaddress
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from slipstream_server.token_bucket import TokenBucket

SIGNALLED_MAX = 32  # candidates that a call may name; a machine with five networks has twenty
PER_HOST_MAX = 4  # of them on one address: a port for each media of a call that bundles late
_LEARNT_BURST = 16  # addresses that its checks may come from at once
_LEARNT_PER_S = 1.0  # and later, by which a flood of borrowed addresses is bounded
_LOWEST_PORT = 1024  # services listen below

# where clouds hand out a machine's secrets; not all of them are link-local
_METADATA = frozenset(
    map(
        ipaddress.ip_address,
        ("169.254.169.254", "fd00:ec2::254", "fd20:ce::254", "100.100.100.200", "192.0.0.192"),
    )
)
_SHARED = ipaddress.ip_network("100.64.0.0/10")  # of carriers (RFC 6598), and of overlay networks
_LAN_BITS = {4: 24, 6: 64}

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckRules:
    """Which addresses are checked by this machine.

    Multicast, unspecified and metadata addresses never are; loopback and link-local ones only with
    `allow_private`. Private ones (RFC 1918, RFC 4193, RFC 6598) are those of this machine's own
    network, 24 bits of IPv4 and 64 of IPv6, where it has no public address of that version: at home
    they are the callers, in a data centre the neighbours.

    Args:
        own: this machine's addresses.
        allow_private: check loopback, link-local and private addresses whatever this machine has.
    """

    own: frozenset[Address] = frozenset()
    allow_private: bool = False
    _networks: frozenset[ipaddress.IPv4Network | ipaddress.IPv6Network] = field(init=False)

    def __post_init__(self) -> None:
        public = {address.version for address in self.own if not _is_lan(address)}
        networks = frozenset(
            ipaddress.ip_network(f"{address}/{_LAN_BITS[address.version]}", strict=False)
            for address in self.own
            if _is_lan(address) and address.version not in public
        )
        object.__setattr__(self, "_networks", networks)

    @classmethod
    def of_machine(cls, own: Iterable[str], *, allow_private: bool) -> "CheckRules":
        """The rules of a machine with these addresses."""
        addresses = frozenset(map(ipaddress.ip_address, own))
        return cls(own=addresses, allow_private=allow_private)

    @property
    def looks_up_names(self) -> bool:
        """Whether names of the local network (mDNS) may stand for callers."""
        return self.allow_private or bool(self._networks)

    def admits(self, host: str, port: int) -> bool:
        """Whether a check may be sent to an address that the other side names."""
        address = ipaddress.ip_address(host)
        if port < _LOWEST_PORT or not self.admits_source(host):
            return False
        if self.allow_private:
            return True
        if address in self.own:
            return False
        return not _is_lan(address) or any(address in network for network in self._networks)

    def admits_source(self, host: str) -> bool:
        """Whether a check that has come from an address is followed by one to it."""
        address = ipaddress.ip_address(host)
        if address in _METADATA or address.is_multicast or address.is_unspecified:
            return False
        if _is_nobodys(address):
            return False
        return self.allow_private or not (address.is_loopback or address.is_link_local)


class RemoteAddresses:
    """The addresses of one call's other side, by what it has named and used so far.

    Args:
        rules: of this machine.
    """

    def __init__(self, rules: CheckRules) -> None:
        self.refused = 0
        self._rules = rules
        self._lookups = 0
        self._signalled = 0
        self._by_host: Counter[str] = Counter()
        self._learning = TokenBucket(rate_per_s=_LEARNT_PER_S, burst=_LEARNT_BURST)

    def admit_lookup(self) -> bool:
        """Whether one more name may be looked up; its address is a candidate then."""
        admitted = self._rules.looks_up_names and self._lookups < SIGNALLED_MAX
        self._lookups += admitted
        self.refused += not admitted
        return admitted

    def admit(self, host: str, port: int) -> bool:
        """Whether a candidate may be checked; it counts then.

        Args:
            host: an IP address; anything else is refused.
        """
        try:
            admitted = (
                self._signalled < SIGNALLED_MAX
                and self._by_host[host] < PER_HOST_MAX
                and self._rules.admits(host, port)
            )
        except ValueError:
            admitted = False
        if admitted:
            self._signalled += 1
            self._by_host[host] += 1
        self.refused += not admitted
        return admitted

    def admit_learnt(self, host: str, now_ns: int) -> bool:
        """Whether a new address that an authenticated check has come from may be checked."""
        admitted = self._rules.admits_source(host) and self._learning.take(1, now_ns)
        self.refused += not admitted
        return admitted


def _is_lan(address: Address) -> bool:
    if isinstance(address, ipaddress.IPv6Address):
        return address.is_private or address.is_site_local
    return address.is_private or address in _SHARED


def _is_nobodys(address: Address) -> bool:
    """Whether no caller has it: reserved, or an IPv4 address in IPv6 (RFC 4291, 6052, 3056, 4380),
    which would be checked by rules that are not its own."""
    is_tunnel = isinstance(address, ipaddress.IPv6Address) and (
        address.sixtofour is not None or address.teredo is not None
    )
    return is_tunnel or (address.is_reserved and not address.is_loopback)

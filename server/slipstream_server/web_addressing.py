"""How the page and the API are reached from outside: proxies, a path before all, origins. Pure."""

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass, field

_HOST = re.compile(r"(?:[A-Za-z0-9_.-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::\d{1,5})?")
_WITH_PORT = re.compile(r"\[([0-9A-Fa-f:.%]+)\](?::\d{1,5})?|([0-9.]+):\d{1,5}")
_PREFIX = re.compile(r"(?:/[A-Za-z0-9_~-][A-Za-z0-9._~-]*){1,16}")
_PREFIX_MAX = 200
_OWN_PATHS = frozenset(
    ("api", "health", "metrics", "ready", "shared", "studio", "view", "viewer", "whep", "whip")
)
_DEFAULT_PORTS = {"http": ":80", "https": ":443"}

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class TrustedProxies:
    """The addresses whose word on other callers is taken.

    Args:
        networks: of them.
    """

    def __init__(self, networks: Iterable[_Network] = ()) -> None:
        self._networks = tuple(networks)

    @classmethod
    def parse(cls, text: str) -> "TrustedProxies":
        """Parse addresses and networks (CIDR) with commas between them.

        Raises:
            ValueError: if an entry is neither, with the reason.
        """
        networks: list[_Network] = []
        for entry in _split(text):
            try:
                networks.append(ipaddress.ip_network(entry))
            except ValueError as error:
                raise ValueError(
                    f"{entry[:80]!r}, it must be an address, or a network as 10.1.0.0/16, or some "
                    f"with commas between them ({error})"
                ) from error
        return cls(networks)

    def includes(self, address: str) -> bool:
        """Whether this peer is trusted; a text that is no address is nobody's."""
        parsed = parse_address(address)
        return parsed is not None and any(parsed in network for network in self._networks)


class AllowedOrigins:
    """The other origins whose pages may use the API and show the viewer's page in a frame.

    Args:
        origins: as browsers write them; `*` stands for any.
    """

    def __init__(self, origins: Iterable[str] = ()) -> None:
        self.sources = tuple(dict.fromkeys(origins))  # as in a Content-Security-Policy

    @classmethod
    def parse(cls, text: str) -> "AllowedOrigins":
        """Parse origins with commas between them.

        Raises:
            ValueError: if one is not an origin, with the reason.
        """
        return cls(_origin(entry) for entry in _split(text))

    @property
    def any(self) -> bool:
        """Whether every origin is allowed."""
        return "*" in self.sources

    def includes(self, origin: str) -> bool:
        """Whether pages of this origin are allowed, as the header `Origin` names it."""
        return self.any or origin in self.sources


@dataclass(frozen=True, slots=True, kw_only=True)
class WebAddressing:
    """How the page and the API are reached from outside.

    Args:
        base_path: before the path of every request that no proxy has taken it from; empty, or
            begins with a slash.
    """

    trusted_proxies: TrustedProxies = field(default_factory=TrustedProxies)
    base_path: str = ""
    allowed_origins: AllowedOrigins = field(default_factory=AllowedOrigins)


def parse_address(text: str) -> _Address | None:
    """An IP address, with or without a port, an IPv6 one with or without brackets; None if it is
    none. An IPv4 address that is mapped into IPv6 is given as itself."""
    found = _WITH_PORT.fullmatch(text.strip())
    host = (found[1] or found[2]) if found is not None else text.strip()
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


def is_host(text: str) -> bool:
    """Whether it can be a request's host: a name or an address, with or without a port."""
    return _HOST.fullmatch(text) is not None


def is_path_prefix(text: str) -> bool:
    """Whether it can be put before every path: begins with a slash, ends without one, and needs no
    escape in an address or a header."""
    return len(text) <= _PREFIX_MAX and _PREFIX.fullmatch(text) is not None


def parse_base_path(text: str) -> str:
    """A path before all others, without the slash at its end; empty for none.

    Raises:
        ValueError: if it cannot be one, or hides paths of the server's own.
    """
    path = text.rstrip("/")
    if path and not is_path_prefix(path):
        raise ValueError(f"{text[:80]!r}, it must be as /slipstream: letters, digits, . _ ~ and -")
    if path.split("/")[1:2] and path.split("/")[1] in _OWN_PATHS:
        raise ValueError(
            f"{text!r}, it must not begin with a path of the server's own, as {path.split('/')[1]} "
            "is; choose another"
        )
    return path


def _split(text: str) -> list[str]:
    return [entry for part in text.split(",") if (entry := part.strip())]


def _origin(entry: str) -> str:
    """The origin as browsers write it (RFC 6454, section 6.2)."""
    if entry == "*":
        return entry
    scheme, separator, host = entry.lower().removesuffix("/").partition("://")
    if scheme not in _DEFAULT_PORTS or not separator or not is_host(host):
        raise ValueError(
            f"{entry[:80]!r}, it must be an origin as https://studio.example, or some with commas "
            "between them, or * for any"
        )
    return f"{scheme}://{host.removesuffix(_DEFAULT_PORTS[scheme])}"

"""Who a request comes from, where trusted proxies say so. Pure.

A proxy that passes requests on tells in their headers whose they are. Anybody can write these
headers, so they count only as far as a trusted peer vouches for them: the list of addresses is read
from its end, where the nearest proxy has added what it saw, up to the first address that is not
trusted itself. That is the caller. The rules for what is not as it should be:

* A header from a peer that is not trusted is ignored.
* An entry that is no address (`unknown`, a name made up to hide one) ends the reading: the caller
  is the proxy that has reported it.
* A scheme, host or prefix that cannot be one is ignored, and so is a `Forwarded` that breaks its
  grammar, as a whole.
* `X-Forwarded-*` goes before `Forwarded`: more proxies write the first and pass the second on as it
  came, from anybody.

Sources: RFC 7239; MDN, "X-Forwarded-For" (its section on selecting an address).
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from slipstream_server.web_addressing import TrustedProxies, is_host, is_path_prefix, parse_address

_HOPS_MAX = 20
_PORT_MAX = 65535
_ENDS_IN_PORT = re.compile(r":\d+$")
_DEFAULT_PORTS = {"http": 80, "https": 443}
_HEADER_MAX = 4096  # characters of one header's values
_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_PAIR = re.compile(rf'[ \t]*({_TOKEN})=({_TOKEN}|"(?:[^"\\]|\\.)*")[ \t]*')


@dataclass(frozen=True, slots=True, kw_only=True)
class ForwardedHeaders:
    """What a request says of its way: each header's values, one for each line of it."""

    forwarded: Sequence[str] = ()
    for_: Sequence[str] = ()
    proto: Sequence[str] = ()
    host: Sequence[str] = ()
    port: Sequence[str] = ()
    prefix: Sequence[str] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Whose request it is, and how it was addressed.

    Args:
        address: of the caller.
        scheme: http or https.
        host: with its port where that is not the scheme's own.
        prefix: of the path, which the proxy has taken away; empty, or begins with a slash.
        proxy: the trusted peer that has passed it on; empty for a direct request.
    """

    address: str
    scheme: str
    host: str
    prefix: str = ""
    proxy: str = ""


@dataclass(frozen=True, slots=True)
class _Hop:
    """What one proxy saw: the address it was asked by, and the scheme and host it was asked for."""

    address: str
    scheme: str = ""
    host: str = ""


def caller_of_request(direct: Caller, headers: ForwardedHeaders, trusted: TrustedProxies) -> Caller:
    """The caller, by the headers if the peer is trusted.

    Args:
        direct: the peer of the connection, with the scheme and host of the request itself.
    """
    if not trusted.includes(direct.address):
        return direct
    if headers.for_ or headers.proto or headers.host:
        hops = _by_x_forwarded(headers)
    else:
        hops = _by_forwarded(headers.forwarded)
    caller = replace(direct, proxy=direct.address, prefix=_prefix(headers.prefix))
    for hop in hops[:_HOPS_MAX]:
        scheme = hop.scheme if hop.scheme in ("http", "https") else caller.scheme
        host = hop.host if is_host(hop.host) else caller.host
        caller = replace(caller, scheme=scheme, host=host)
        address = parse_address(hop.address)
        if address is None:
            break
        caller = replace(caller, address=str(address))
        if not trusted.includes(str(address)):
            break
    return caller


def _by_x_forwarded(headers: ForwardedHeaders) -> list[_Hop]:
    """The hops, the nearest first. A proxy that appends to the addresses may replace the scheme and
    the host: with fewer of them than addresses, the first one holds for the rest."""
    addresses = _entries(headers.for_) or [""]
    schemes, hosts, ports = map(_entries, (headers.proto, headers.host, headers.port))
    return [
        _Hop(
            address,
            _at(schemes, index).lower(),
            _with_port(_at(hosts, index), _at(ports, index), _at(schemes, index).lower()),
        )
        for index, address in enumerate(addresses)
    ]


def _with_port(host: str, port: str, scheme: str) -> str:
    """The host, with a port that is told beside it and is not the scheme's own."""
    is_told = host and port.isascii() and port.isdigit() and int(port[:6]) <= _PORT_MAX
    if not is_told or _ENDS_IN_PORT.search(host) or _DEFAULT_PORTS.get(scheme) == int(port):
        return host
    return f"{host}:{port}"


def _entries(lines: Sequence[str]) -> list[str]:
    """The entries of a header with commas, the last first; none where it is too long."""
    text = ",".join(lines)
    return [part.strip() for part in text.split(",")][::-1] if 0 < len(text) <= _HEADER_MAX else []


def _at(entries: Sequence[str], index: int) -> str:
    return entries[min(index, len(entries) - 1)] if entries else ""


def _by_forwarded(lines: Sequence[str]) -> list[_Hop]:
    """The hops of a `Forwarded`, the nearest first; none where it breaks the grammar."""
    text = ",".join(lines)
    if not 0 < len(text) <= _HEADER_MAX:
        return []
    hops, pairs, position = [], dict[str, str](), 0
    while True:
        found = _PAIR.match(text, position)
        if found is None or found[1].lower() in pairs:
            return []
        pairs[found[1].lower()] = _unquoted(found[2])
        position = found.end()
        separator = text[position : position + 1]
        if separator != ";":
            hops.append(
                _Hop(pairs.get("for", ""), pairs.get("proto", "").lower(), pairs.get("host", ""))
            )
            pairs = {}
        if not separator:
            return hops[::-1]
        if separator not in ";,":
            return []
        position += 1


def _unquoted(value: str) -> str:
    return re.sub(r"\\(.)", r"\1", value[1:-1]) if value.startswith('"') else value


def _prefix(lines: Sequence[str]) -> str:
    """The last of them, which the nearest proxy has written."""
    found = _at(_entries(lines), 0).rstrip("/")
    return found if is_path_prefix(found) else ""

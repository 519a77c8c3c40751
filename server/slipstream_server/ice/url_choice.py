"""Which STUN and TURN servers of a provider's list a browser is given. Pure.

Browsers block port 53 (as of DNS) and wait for an answer from it all the same; and they warn of
slow discovery from the fifth server on.
"""

from collections.abc import Sequence

MAX_URLS = 4
_DEFAULT_PORTS = {"stun": 3478, "turn": 3478, "stuns": 5349, "turns": 5349}
_BLOCKED_PORT = 53
# scheme, whether over TCP; the one that helps most callers first
_KINDS = (("turn", False), ("turns", True), ("stun", False), ("turn", True))
_HTTPS_PORT = 443  # what other people's firewalls let through


def choose_urls(urls: Sequence[str], *, most: int = MAX_URLS) -> tuple[str, ...]:
    """The URLs to use, in the order of the list: one of each kind first (STUN, TURN over UDP, TCP
    and TLS), the one at port 443 where there are several over TCP; then the others.

    Args:
        urls: as in a browser's `iceServers`; those at port 53 and of other schemes are left out.
        most: how many.
    """
    usable = [url for url in urls if _port(url) not in (None, _BLOCKED_PORT)]
    ranked = sorted(usable, key=lambda url: _port(url) != _HTTPS_PORT if _is_tcp(url) else False)
    firsts: dict[tuple[str, bool], str] = {}
    for url in ranked:
        firsts.setdefault(_kind(url), url)
    chosen = [firsts[kind] for kind in _KINDS if kind in firsts]
    chosen += [one for one in ranked if one not in chosen]
    return tuple(url for url in usable if url in chosen[: max(0, most)])


def _scheme(url: str) -> str:
    return url.partition(":")[0].lower()


def _is_tcp(url: str) -> bool:
    return _scheme(url) == "turns" or "transport=tcp" in url.lower()


def _kind(url: str) -> tuple[str, bool]:
    return _scheme(url), _is_tcp(url)


def _port(url: str) -> int | None:
    """The port; None where the URL cannot be read (RFC 7064, RFC 7065)."""
    default = _DEFAULT_PORTS.get(_scheme(url))
    host_port = url.partition(":")[2].partition("?")[0]
    if default is None or not host_port:
        return None
    _, colon, port = host_port.rpartition("]")[2].rpartition(":")
    if not colon:
        return default
    return int(port) if port.isascii() and port.isdigit() else None

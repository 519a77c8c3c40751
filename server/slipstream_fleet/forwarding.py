"""Headers of what the gate passes on, in both directions. Pure.

Sources: RFC 9110, section 7.6.1 (hop-by-hop headers); `http/forwarded.py` of the server, which
reads what is written here.
"""

from collections.abc import Iterable, Sequence

Headers = Sequence[tuple[str, str]]

_HOP_BY_HOP = frozenset(
    (
        *("connection", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade"),
        *("proxy-authenticate", "proxy-authorization", "proxy-connection"),
    )
)
# the node's HTTP library writes these, or they are replaced here
_OWN = frozenset(("host", "content-length", "accept-encoding"))


def inward_headers(
    headers: Headers, *, client: str, scheme: str, host: str
) -> list[tuple[str, str]]:
    """Of a request, as a node gets it: whose it is and how it was addressed stand at the end.

    Args:
        client: the address of the gate's caller.
        scheme, host: by which the gate was addressed.
    """
    passed = [
        (name, value)
        for name, value in _end_to_end(headers)
        if name.lower() not in _OWN and not name.lower().startswith("x-forwarded-")
    ]
    added = {"X-Forwarded-For": client, "X-Forwarded-Proto": scheme, "X-Forwarded-Host": host}
    for name, value in added.items():
        before = header_values(headers, name)
        passed.append((name, ", ".join([*before, value])))
    for name in ("X-Forwarded-Prefix", "Accept-Encoding"):
        passed.extend((name, value) for value in header_values(headers, name))
    return passed


def outward_headers(headers: Headers) -> list[tuple[str, str]]:
    """Of a node's answer, as the caller gets it."""
    own = ("content-length", "date", "server")
    return [(name, value) for name, value in _end_to_end(headers) if name.lower() not in own]


def header_values(headers: Headers, name: str) -> list[str]:
    """All values of one header."""
    return [value for found, value in headers if found.lower() == name.lower()]


def header_value(headers: Headers, name: str) -> str:
    """The first value of a header; empty where there is none."""
    return next(iter(header_values(headers, name)), "")


def with_header(headers: Headers, name: str, value: str) -> list[tuple[str, str]]:
    """The headers, with this one in place of those of its name."""
    rest = [pair for pair in headers if pair[0].lower() != name.lower()]
    return [*rest, (name, value)]


def _end_to_end(headers: Headers) -> Iterable[tuple[str, str]]:
    named = {
        token.strip().lower()
        for value in header_values(headers, "Connection")
        for token in value.split(",")
    }
    return [pair for pair in headers if pair[0].lower() not in _HOP_BY_HOP | named]

"""A request to the gate. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from urllib.parse import parse_qsl, urlencode

import msgspec
from msgspec import UNSET
from slipstream_protocol.parameters import Parameters
from slipstream_server.http.forwarded import Caller
from slipstream_server.http.rate_limit import client_key, is_loopback

from slipstream_fleet.forwarding import Headers, header_value, header_values


@dataclass(frozen=True, slots=True, kw_only=True)
class GateRequest:
    """A request to the gate.

    Args:
        raw_path: with its escapes, without the query.
        peer: who has sent it, and how the gate was addressed.
        caller: whose it is: the peer, or who a trusted proxy names.
        body: empty as long as it has not been read.
    """

    method: str
    raw_path: str
    query: str
    headers: Headers
    peer: Caller
    caller: Caller
    body: bytes = b""

    @property
    def path(self) -> str:
        """With the query."""
        return f"{self.raw_path}?{self.query}" if self.query else self.raw_path

    @property
    def tokens(self) -> Sequence[str]:
        """Those that it shows."""
        scheme, _, text = header_value(self.headers, "Authorization").partition(" ")
        query = [value for key, value in parse_qsl(self.query) if key == "token"]
        shown = [text.strip(), *query] if scheme.lower() == "bearer" else query
        return [token for token in shown if token]

    @property
    def counted_under(self) -> str:
        """The address whose callers in a line are counted together; empty where they are not."""
        key = client_key(self.caller.address)
        return "" if key == "unknown" or is_loopback(key) else key

    @property
    def cookies(self) -> str:
        return "; ".join(header_values(self.headers, "Cookie"))

    def with_parameters(self, known: Parameters) -> "GateRequest":
        """A WHIP offer with the parameters that its stream had."""
        kept = [(key, value) for key, value in parse_qsl(self.query) if key == "token"]
        fields = msgspec.to_builtins(known)
        texts = [
            (key, value if key == "prompt" else msgspec.json.encode(value).decode())
            for key, value in fields.items()
            if value is not UNSET and key != "rev"
        ]
        return replace(self, query=urlencode([*kept, *texts]))

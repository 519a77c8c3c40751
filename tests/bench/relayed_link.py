"""A link of a given kind between the two ends of a call on this machine, made of two UDP sockets.

Each end is told one candidate of the other, which is a socket of ours. What comes to it goes on to
the other end when the link's script says so, or never: no network namespace, no root.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import cast

from tests.server.scripted_link import LinkScript, ScriptedQueue

HOST = "127.0.0.1"
_CANDIDATE = "a=candidate:"
_FREE_BPS = 100_000_000.0

Address = tuple[str, int]


@dataclass(slots=True)
class _Way(asyncio.DatagramProtocol):
    """Takes what one end sends, at the address where that end believes the other to be.

    Args:
        deliver: called with a packet when it is due at the other end.
    """

    queue: ScriptedQueue
    now_ms: Callable[[], float]
    deliver: Callable[[bytes], None]
    transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: object) -> None:
        at_ms = self.now_ms()
        arrives_ms = self.queue.arrival_ms(len(data), at_ms)
        if arrives_ms is not None:
            loop = asyncio.get_running_loop()
            loop.call_later(max(0.0, arrives_ms - at_ms) / 1000, self.deliver, data)

    @property
    def address(self) -> Address:
        assert self.transport is not None, "it is open"
        host, port = self.transport.get_extra_info("sockname")[:2]
        return host, port

    def send(self, data: bytes, to: Address | None) -> None:
        if to is not None and self.transport is not None and not self.transport.is_closing():
            self.transport.sendto(data, to)


class RelayedLink:
    """A link that is up; its script begins when `begin` is called.

    Attributes:
        began_unix_ms: when that was.
    """

    def __init__(self, script: LinkScript, *, seed: int) -> None:
        self.began_unix_ms = 0.0
        self._began_s: float | None = None
        back = LinkScript(capacity_bps=lambda at_ms: _FREE_BPS, one_way_ms=script.one_way_ms)
        forth = replace(script, capacity_bps=lambda at_ms: script.capacity_bps(max(0, at_ms)))
        self._sender: Address | None = None
        self._receiver: Address | None = None
        self.to_receiver = _Way(ScriptedQueue(forth, seed=seed), self._now_ms, self._to_receiver)
        self.to_sender = _Way(ScriptedQueue(back, seed=seed), self._now_ms, self._to_sender)

    def begin(self) -> None:
        self._began_s, self.began_unix_ms = time.monotonic(), time.time() * 1000

    def _now_ms(self) -> float:
        return 0.0 if self._began_s is None else (time.monotonic() - self._began_s) * 1000

    def for_sender(self, offer: str) -> str:
        """The receiver's offer, as the sender is to get it."""
        self._receiver, sdp = _replaced(offer, self.to_receiver.address)
        return sdp

    def for_receiver(self, answer: str) -> str:
        """The sender's answer, as the receiver is to get it."""
        self._sender, sdp = _replaced(answer, self.to_sender.address)
        return sdp

    def _to_receiver(self, data: bytes) -> None:
        self.to_sender.send(data, self._receiver)

    def _to_sender(self, data: bytes) -> None:
        self.to_receiver.send(data, self._sender)


@asynccontextmanager
async def relayed_link(script: LinkScript, *, seed: int = 0) -> AsyncIterator[RelayedLink]:
    """Open a link; one call may go over it."""
    link = RelayedLink(script, seed=seed)
    loop = asyncio.get_running_loop()
    transports = []
    try:
        for way in (link.to_receiver, link.to_sender):
            transport, _ = await loop.create_datagram_endpoint(
                lambda way=way: way,  # type: ignore[misc]
                local_addr=(HOST, 0),
            )
            transports.append(transport)
        yield link
    finally:
        for transport in transports:
            transport.close()


def _replaced(sdp: str, address: Address) -> tuple[Address, str]:
    """The address on loopback in a description, and the description with `address` in its place.

    Raises:
        RuntimeError: if it has none.
    """
    own = None
    kept = []
    for line in sdp.splitlines():
        if not line.startswith(_CANDIDATE):
            kept.append(line)
            continue
        _, _, transport, _, host, port, *_ = line.split()
        if transport.lower() == "udp" and host == HOST:
            own = host, int(port)
    if own is None:
        raise RuntimeError(f"no UDP candidate at {HOST} in:\n{sdp}")
    media = next(at for at, line in enumerate(kept) if line.startswith("m="))
    first = next(at for at, line in enumerate(kept) if at > media and line.startswith("a="))
    given = f"{address[0]} {address[1]}"
    kept.insert(first, f"{_CANDIDATE}1 1 udp 2130706431 {given} typ host")
    return own, "\r\n".join(kept) + "\r\n"

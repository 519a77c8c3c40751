"""A NAT before a server: it forwards datagrams, and may take another port for those that go out."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any


class Nat:
    """The way of one caller to one port of a server, both on the loopback.

    Args:
        port: of the server.
    """

    def __init__(self, port: int) -> None:
        self._server = ("127.0.0.1", port)
        self._caller: Any = None
        self._inside: Any = None
        self._outside: Any = None

    @property
    def port(self) -> int:
        """Where the caller finds the server."""
        number: int = self._inside.get_extra_info("sockname")[1]
        return number

    async def open(self) -> None:
        self._inside = await _endpoint(self._outward)
        await self.rebind()

    async def rebind(self) -> None:
        """Forget the mapping: the server sees another port from now on, and the old one is dead."""
        if self._outside is not None:
            self._outside.close()
        self._outside = await _endpoint(self._inward)

    def close(self) -> None:
        self._inside.close()
        self._outside.close()

    def _outward(self, data: bytes, address: Any) -> None:
        self._caller = address
        self._outside.sendto(data, self._server)

    def _inward(self, data: bytes, address: Any) -> None:
        if self._caller is not None:
            self._inside.sendto(data, self._caller)


@asynccontextmanager
async def nat_before(port: int) -> AsyncIterator[Nat]:
    """A NAT before this port of the server."""
    nat = Nat(port)
    await nat.open()
    try:
        yield nat
    finally:
        nat.close()


async def _endpoint(receive: Any) -> asyncio.DatagramTransport:
    class Forwarder(asyncio.DatagramProtocol):
        def datagram_received(self, data: bytes, addr: Any) -> None:
            receive(data, addr)

    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(Forwarder, local_addr=("127.0.0.1", 0))
    return transport

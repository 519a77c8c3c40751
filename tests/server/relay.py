"""A STUN and TURN server for tests: it answers binding, allocation and refresh requests."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aioice import stun
from aioice.turn import make_integrity_key

REALM = "tests"


class Relay(asyncio.DatagramProtocol):
    """Counts allocations and relays nothing.

    Args:
        users: passwords by name.
        silent: whether it leaves every request unanswered.
        refusal: code and reason to refuse every known user with.
    """

    def __init__(
        self,
        users: dict[str, str] | None = None,
        *,
        silent: bool = False,
        refusal: tuple[int, str] | None = None,
    ) -> None:
        self.open_allocations = 0
        self.allocations = 0
        self._users = users or {}
        self._silent = silent
        self._refusal = refusal

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    @property
    def port(self) -> int:
        port: int = self._transport.get_extra_info("sockname")[1]
        return port

    def datagram_received(self, data: bytes, addr: Any) -> None:
        if self._silent:
            return
        request = stun.parse_message(data)
        if request.message_method is stun.Method.BINDING:
            self._answer(request, addr, {"XOR-MAPPED-ADDRESS": addr})
            return
        user = request.attributes.get("USERNAME")
        key = make_integrity_key(user, REALM, self._users.get(user, "")) if user else b""
        if user not in self._users or not request.check_message_integrity(key):
            challenge = {
                "ERROR-CODE": (401, "Unauthorized"),
                "REALM": REALM,
                "NONCE": b"once",
            }
            self._answer(request, addr, challenge, kind=stun.Class.ERROR)
        elif self._refusal is not None:
            self._answer(
                request, addr, {"ERROR-CODE": self._refusal}, kind=stun.Class.ERROR, key=key
            )
        elif request.message_method is stun.Method.ALLOCATE:
            self.open_allocations += 1
            self.allocations += 1
            allocation = {
                "LIFETIME": 600,
                "XOR-MAPPED-ADDRESS": addr,
                "XOR-RELAYED-ADDRESS": ("192.0.2.9", 50000),
            }
            self._answer(request, addr, allocation, key=key)
        elif request.message_method is stun.Method.REFRESH:
            self.open_allocations -= request.attributes["LIFETIME"] == 0
            self._answer(request, addr, {"LIFETIME": 0}, key=key)

    def _answer(
        self,
        request: stun.Message,
        addr: Any,
        attributes: dict[str, Any],
        *,
        kind: stun.Class = stun.Class.RESPONSE,
        key: bytes = b"",
    ) -> None:
        response = stun.Message(
            request.message_method,
            kind,
            transaction_id=request.transaction_id,
            attributes=attributes,
        )
        if key:
            response.add_message_integrity(key)
        self._transport.sendto(bytes(response), addr)


@asynccontextmanager
async def relaying(relay: Relay) -> AsyncIterator[Relay]:
    """The relay on a port of its own."""
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(lambda: relay, local_addr=("127.0.0.1", 0))
    try:
        yield relay
    finally:
        transport.close()

"""ice/gathering.py: which candidates a call offers, by aiortc's own gathering."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aioice import stun
from aiortc import RTCConfiguration, RTCIceServer, RTCPeerConnection, RTCSessionDescription
from hypothesis import given
from hypothesis import strategies as st
from slipstream_server.config import ServerConfig
from slipstream_server.errors import ConfigError, PortsTaken
from slipstream_server.ice.gathering import bound_gathering
from slipstream_server.media_addressing import MediaAddressing, PortRange, PublicAddresses

from tests.server.ports import free_range, occupied

PUBLIC = ("198.51.100.4", "203.0.113.5")


@asynccontextmanager
async def answering(
    media_addressing: MediaAddressing, servers: list[RTCIceServer] | None = None
) -> AsyncIterator[list[str]]:
    """The candidate lines of an answer, while its sockets are open."""
    caller = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    caller.addTransceiver("video")
    caller.createDataChannel("parameters")
    pc = RTCPeerConnection(RTCConfiguration(iceServers=servers or []))
    try:
        offer = RTCSessionDescription((await caller.createOffer()).sdp, "offer")
        await pc.setRemoteDescription(offer)
        bound_gathering(pc, media_addressing=media_addressing, wait_s=0.3)
        await pc.setLocalDescription()
        lines = pc.localDescription.sdp.splitlines()
        yield [line for line in lines if line.startswith("a=candidate:")]
    finally:
        await pc.close()
        await caller.close()


def addresses_of(candidates: list[str]) -> set[tuple[str, int]]:
    """Addresses and ports of the host candidates."""
    fields = [line.split() for line in candidates if " typ host" in line]
    return {(field[4], int(field[5])) for field in fields}


def stun_server(*, answers: bool) -> asyncio.DatagramProtocol:
    """One that says where it sees a caller, or nothing at all."""

    class Stun(asyncio.DatagramProtocol):
        def connection_made(self, transport: Any) -> None:
            self.transport = transport

        def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
            if answers:
                request = stun.parse_message(data)
                answer = stun.Message(
                    stun.Method.BINDING, stun.Class.RESPONSE, transaction_id=request.transaction_id
                )
                answer.attributes["XOR-MAPPED-ADDRESS"] = ("192.0.2.7", addr[1])
                self.transport.sendto(bytes(answer), addr)

    return Stun()


@asynccontextmanager
async def running_stun(*, answers: bool) -> AsyncIterator[list[RTCIceServer]]:
    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
        lambda: stun_server(answers=answers), local_addr=("127.0.0.1", 0)
    )
    try:
        port = transport.get_extra_info("sockname")[1]
        yield [RTCIceServer(urls=f"stun:127.0.0.1:{port}")]
    finally:
        transport.close()


@pytest.mark.parametrize("loopback", [True, False])
async def test_loopback_is_offered_when_asked_for(loopback: bool) -> None:
    """a laptop without any network still reaches its own server."""
    async with answering(MediaAddressing(loopback=loopback)) as candidates:
        assert ("127.0.0.1" in {host for host, _ in addresses_of(candidates)}) is loopback


PORTS = pytest.mark.parametrize("ports", [None, 4], ids=["any port", "a range"])


@PORTS
async def test_a_silent_stun_server_does_not_hold_up_the_answer(ports: int | None) -> None:
    """aiortc alone would wait five seconds; the answer comes with what there is."""
    media_addressing = MediaAddressing(loopback=True, ports=free_range(ports) if ports else None)
    async with (
        asyncio.timeout(4.5),
        running_stun(answers=False) as servers,
        answering(media_addressing, servers) as candidates,
    ):
        assert addresses_of(candidates)
        assert not [line for line in candidates if "srflx" in line]


@PORTS
async def test_what_a_stun_server_sees_is_offered_too(ports: int | None) -> None:
    """also of sockets that we have bound ourselves."""
    media_addressing = MediaAddressing(loopback=True, ports=free_range(ports) if ports else None)
    async with (
        running_stun(answers=True) as servers,
        answering(media_addressing, servers) as candidates,
    ):
        assert [line for line in candidates if " 192.0.2.7 " in line and "typ srflx" in line]


async def test_media_stay_within_the_ports_and_step_over_those_taken() -> None:
    """each call has a port of the range; with none left the offer is refused until one is free."""
    ports = free_range(3)
    media_addressing = MediaAddressing(loopback=True, ports=ports)
    with occupied(ports.low + 1):
        async with answering(media_addressing) as one, answering(media_addressing) as two:
            found = [{port for _, port in addresses_of(candidates)} for candidates in (one, two)]
            assert set.union(*found) == {ports.low, ports.high}
            with pytest.raises(PortsTaken, match=f"all 3 UDP ports of {ports} are taken; wait"):
                async with answering(media_addressing):
                    pass
    async with answering(media_addressing) as again:
        assert addresses_of(again)


@PORTS
async def test_public_addresses_are_told_beside_our_own(ports: int | None) -> None:
    """with the port of the socket and less priority: callers in the own network use its own."""
    media_addressing = MediaAddressing(
        loopback=True,
        public=PublicAddresses.parse(", ".join(PUBLIC)),
        ports=free_range(ports) if ports else None,
    )
    async with answering(media_addressing) as candidates:
        ipv4 = [line.split() for line in candidates if ":" not in line.split()[4]]
    public = {(int(field[3]), field[4], field[5]) for field in ipv4 if field[4] in PUBLIC}
    own = {(int(field[3]), field[4], field[5]) for field in ipv4 if field[4] not in PUBLIC}
    in_network = {(port, host) for _, host, port in own if host != "127.0.0.1"}
    assert len(public) == len(in_network) * len(PUBLIC)
    assert {port for _, _, port in public} == {port for port, _ in in_network}
    assert not public or max(public)[0] < min(own)[0]


@given(st.integers(1024, 65535), st.integers(0, 300), st.integers(0, 400))
def test_every_port_of_a_range_comes_once(low: int, more: int, first: int) -> None:
    """whatever the first, and none from outside."""
    ports = PortRange(low=low, high=min(65535, low + more))
    assert sorted(ports.each(first)) == list(range(ports.low, ports.high + 1))
    assert PortRange.parse(str(ports)) == ports


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("5000", "must be LOW-HIGH, for example"),
        ("6000-5000", "6000-5000, it must be LOW-HIGH with 1024 <= LOW <= HIGH <= 65535"),
        ("80-90", "80-90, it must be"),
        ("60000-70000", "60000-70000, it must be"),
        ("50000-50000", "50000-50000, it must have a port for each of max_streams"),
    ],
)
def test_a_range_that_cannot_be_is_refused(text: str, reason: str) -> None:
    with pytest.raises(ConfigError, match=f"media_ports is .*{reason}"):
        ServerConfig(media_ports=text)

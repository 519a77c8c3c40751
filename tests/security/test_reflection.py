"""An offer does not make the server send packets to addresses of the caller's choice."""

import asyncio
import re
import socket
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from aioice import stun
from aioice.ice import StunProtocol
from slipstream_server.ice.remote_addresses import SIGNALLED_MAX
from slipstream_server.rtp.sdp import ice_ufrag

from tests.security.test_unconnected_calls import CHROMIUM
from tests.server.calls import OFFER_PATH, Camera, dial
from tests.server.serving import Serving, poll, serving

TOKEN = "a token of thirty-two characters"
HEADERS = {"Authorization": f"Bearer {TOKEN}"}
LAN: dict[str, Any] = {"host": "0.0.0.0", "token": TOKEN, "max_streams": 1}
VICTIMS = {
    "loopback": ("127.0.0.1", "127.8.8.8", "::1"),
    "link-local": ("169.254.7.7", "fe80::7"),
    "metadata": ("169.254.169.254", "fd00:ec2::254", "100.100.100.200"),
    "multicast": ("224.0.0.251", "239.255.255.250", "ff02::fb"),
    "unspecified": ("0.0.0.0", "::"),
    "other private networks": ("10.7.7.7", "172.31.7.7", "192.168.77.7", "fd77::7"),
    "IPv4 as IPv6": ("::ffff:127.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::"),
}
EVERYBODY = tuple(host for hosts in VICTIMS.values() for host in hosts)
FAR = "8.8.8.8"  # a public address, to which checks are counted and not sent


class Departures:
    """The STUN messages to addresses that nobody but the offer has named; none of them leaves."""

    def __init__(self, *hosts: str) -> None:
        self.sent: list[tuple[str, int]] = []
        self._hosts = hosts

    def install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        send = StunProtocol.send_stun

        def counted(protocol: StunProtocol, message: stun.Message, address: Any) -> None:
            if address[0] in self._hosts or address[0].startswith("8.8."):
                self.sent.append(address)
            else:
                send(protocol, message, address)

        monkeypatch.setattr(StunProtocol, "send_stun", counted)

    @property
    def hosts(self) -> set[str]:
        return {host for host, _ in self.sent}


def candidate(host: str, port: int, *, priority: int = 2_000_000_000) -> str:
    return f"candidate:1 1 udp {priority} {host} {port} typ host"


def naming(sdp: str, candidates: Sequence[str]) -> str:
    """The offer with these candidates in place of its own, on its first media."""
    bare = re.sub(r"a=(candidate|end-of-candidates).*\r\n", "", sdp)
    lines = "".join(f"a={one}\r\n" for one in candidates)
    return re.sub(r"(a=ice-ufrag:.*\r\n)", lambda found: found[1] + lines, bare, count=1)


async def offer(server: Serving, candidates: Sequence[str]) -> dict[str, Any]:
    body = {"sdp": naming(CHROMIUM, candidates), "type": "offer"}
    async with server.client.post(OFFER_PATH, json=body, headers=HEADERS) as response:
        assert response.status == 200
        answer: dict[str, Any] = await response.json()
        return answer


@pytest.mark.parametrize("kind", VICTIMS)
async def test_nothing_is_sent_where_no_caller_lives(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """a public address that is named with them, behind them in priority, is checked."""
    hosts = VICTIMS[kind]
    departures = Departures(*hosts)
    departures.install(monkeypatch)
    async with serving(tmp_path, ready=True, **LAN) as server:
        hostile = [candidate(host, 50_000 + one) for host in hosts for one in range(4)]
        await offer(server, [*hostile, candidate(FAR, 50_000, priority=1)])
        await poll(lambda: FAR in departures.hosts)
        assert departures.hosts == {FAR}


async def test_no_service_is_probed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """ports below 1024 are left out, and one host gets four ports at most."""
    departures = Departures()
    departures.install(monkeypatch)
    async with serving(tmp_path, **LAN) as server:
        services = [candidate("8.8.4.4", port) for port in (53, 123, 161, 389, 1023)]
        many = [candidate("8.8.1.1", 40_000 + port) for port in range(20)]
        await offer(server, [*services, *many, candidate(FAR, 50_000, priority=1)])
        await poll(lambda: FAR in departures.hosts)
        assert departures.hosts == {FAR, "8.8.1.1"}
        assert len({address for address in departures.sent if address[0] == "8.8.1.1"}) == 4


async def test_candidates_that_trickle_in_for_ever_are_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """in all, over as many requests as a caller likes to send."""
    departures = Departures()
    departures.install(monkeypatch)
    async with serving(tmp_path, **LAN) as server:
        session = (await offer(server, []))["sessionId"]
        for request in range(6):
            named = [
                {"candidate": candidate(f"8.8.{request}.{one}", 50_000), "sdpMLineIndex": 0}
                for one in range(1, 41)
            ]
            async with server.client.patch(
                f"{OFFER_PATH}/{session}", json={"candidates": named}, headers=HEADERS
            ) as response:
                assert response.status < 300
            await poll(lambda: len(departures.hosts) >= min(40, SIGNALLED_MAX))
        assert len(departures.hosts) == SIGNALLED_MAX


async def test_a_reachable_server_checks_nobody_of_the_offer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """with a public address it answers as ICE lite, and a caller is served by its own checks."""
    departures = Departures(*EVERYBODY[3:])
    departures.install(monkeypatch)
    hostile = [candidate(host, 50_000) for host in (*EVERYBODY[3:], FAR)]
    async with (
        serving(tmp_path, public_ip="198.51.100.4") as server,
        dial(server.client, camera=Camera(), edit=lambda sdp: naming(sdp, hostile)) as call,
    ):
        assert "\r\na=ice-lite\r\n" in call.answer_sdp
        await call.until_frames(4)
        assert departures.sent == []


async def test_an_offer_of_ice_lite_gets_a_full_agent(tmp_path: Path) -> None:
    """two lite agents would wait for each other."""
    async with (
        serving(tmp_path, public_ip="198.51.100.4") as server,
        dial(
            server.client,
            camera=Camera(),
            edit=lambda sdp: sdp.replace("\r\nm=", "\r\na=ice-lite\r\nm=", 1),
        ) as call,
    ):
        assert "a=ice-lite" not in call.answer_sdp
        await call.until_frames(4)


@pytest.mark.parametrize("public_ip", ["", "198.51.100.4"], ids=["full", "lite"])
async def test_borrowed_addresses_are_few(public_ip: str, tmp_path: Path) -> None:
    """a caller with the right password writes 100 senders on its checks: each gets the answer it
    has paid for with a packet as large, and few are asked back."""
    async with serving(tmp_path, public_ip=public_ip) as server:
        answer = (await offer(server, []))["sdp"]
        with ExitStack() as stack:
            sockets = [
                stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
                for _ in range(100)
            ]
            for sock in sockets:
                sock.setblocking(False)
                sock.bind(("127.0.0.1", 0))
                sock.sendto(check(answer), ("127.0.0.1", loopback_port(answer)))
            received = [await messages_until_response(sock) for sock in sockets]
        asked_back = sum(stun.Class.REQUEST in classes for classes in received)
        assert 1 <= asked_back <= 20


def check(answer: str) -> bytes:
    """A connectivity check of the caller whose offer was answered so."""
    message = stun.Message(stun.Method.BINDING, stun.Class.REQUEST)
    message.attributes["USERNAME"] = f"{ice_ufrag(answer)}:{ice_ufrag(CHROMIUM)}"
    message.attributes["PRIORITY"] = 1
    message.attributes["ICE-CONTROLLING"] = 1
    message.add_message_integrity(re.findall(r"a=ice-pwd:(\S+)", answer)[0].encode())
    return bytes(message)


def loopback_port(answer: str) -> int:
    return int(re.findall(r"a=candidate:.* 127\.0\.0\.1 (\d+) typ host", answer)[0])


async def messages_until_response(sock: socket.socket) -> list[stun.Class]:
    """What kinds come back, up to the answer and what has come with it."""
    loop = asyncio.get_running_loop()
    classes: list[stun.Class] = []
    while stun.Class.RESPONSE not in classes:
        classes.append(stun.parse_message(await loop.sock_recv(sock, 2000)).message_class)
    classes.extend(_waiting(sock))
    return classes


def _waiting(sock: socket.socket) -> Iterator[stun.Class]:
    while True:
        try:
            data = sock.recv(2000)
        except BlockingIOError:
            return
        yield stun.parse_message(data).message_class

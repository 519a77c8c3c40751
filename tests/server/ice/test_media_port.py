"""ice/media_port.py: the media of all calls on one port, with real calls."""

import asyncio
import re
import socket
from contextlib import AsyncExitStack, ExitStack
from pathlib import Path
from typing import Any

import pytest
from aioice.ice import get_host_addresses
from slipstream_server.config import ServerConfig
from slipstream_server.errors import ConfigError, PortBusy
from slipstream_server.ice import tcp_streams
from slipstream_server.ice.media_port import MediaPort
from slipstream_server.ice.reachability import is_reachable

from tests.server.calls import Call, Camera, dial
from tests.server.nat import nat_before
from tests.server.ports import free_range, occupied
from tests.server.serving import Serving, poll, serving
from tests.server.sessions.test_garbage import garbage


def one_port() -> int:
    return free_range(1).low


def ports_of(call: Call) -> set[tuple[str, int]]:
    """Transports and ports of the answer's candidates."""
    found = re.findall(r"a=candidate:\S+ 1 (\S+) \d+ \S+ (\d+) typ host", call.answer_sdp)
    return {(transport, int(port)) for transport, port in found}


async def drops(server: Serving) -> dict[str, int]:
    """What the metrics say of the port."""
    async with server.client.get("/metrics") as response:
        text = await response.text()
    found = re.findall(r'slipstream_media_port_drops_total{cause="(\w+)"} (\d+)', text)
    return {cause: int(count) for cause, count in found}


async def test_ten_calls_have_one_port(tmp_path: Path) -> None:
    """each is shown its own pictures and no one else's; all sockets but the port's go with them."""
    port = one_port()
    async with serving(tmp_path, media_port=port, max_streams=1, max_viewers=9) as server:
        before = len(open_sockets(port))
        async with AsyncExitStack() as calls:
            camera = dial(server.client, camera=Camera())
            publisher = await calls.enter_async_context(camera)
            await publisher.until_frames(1)
            viewers = [
                await calls.enter_async_context(
                    dial(server.client, watch=True, view=publisher.stream)
                )
                for _ in range(9)
            ]
            for call in (publisher, *viewers):
                assert ports_of(call) == {("udp", port), ("tcp", port)}
                await call.until_frames(4)
        await poll(lambda: len(open_sockets(port)) == before)


def open_sockets(port: int) -> list[str]:
    """The UDP sockets on the port, of IPv4, as the kernel lists them."""
    lines = Path("/proc/net/udp").read_text().splitlines()[1:]
    return [line for line in lines if line.split()[1].endswith(f":{port:04X}")]


async def test_strangers_are_dropped_and_counted(tmp_path: Path) -> None:
    """whatever they send to the port, the call on it goes on."""
    port = one_port()
    async with (
        serving(tmp_path, media_port=port) as server,
        dial(server.client, camera=Camera()) as call,
    ):
        await call.until_frames(4)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
            for number, datagram in enumerate(garbage(1500)):
                stranger.sendto(datagram, ("127.0.0.1", port))
                if number % 50 == 0:
                    await asyncio.sleep(0)
        await call.until_more_frames(16)
        found = await drops(server)
        assert {"stranger", "unreadable", "unknown_call"} <= set(found)
        assert sum(found.values()) > 500  # the kernel may have lost some


@pytest.mark.parametrize(
    ("is_one_port", "public_ip"),
    [(True, ""), (True, "198.51.100.4"), (False, "")],
    ids=["one port", "one port, lite", "a port of its own"],
)
async def test_a_call_outlives_a_new_mapping_of_its_nat(
    is_one_port: bool, public_ip: str, tmp_path: Path
) -> None:
    """its packets come from another port all at once, and the picture goes there."""
    port = one_port()
    where = {"media_port": port} if is_one_port else {"media_ports": f"{port}-{port}"}
    settings: dict[str, Any] = where | {"public_ip": public_ip, "max_streams": 1}
    async with serving(tmp_path, **settings) as server, nat_before(port) as nat:

        def behind_nat(sdp: str) -> str:
            candidate = f"a=candidate:1 1 udp 2130706431 127.0.0.1 {nat.port} typ host\r\n"
            return re.sub(r"(a=ice-ufrag:.*\r\n)", candidate + r"\1", without_candidates(sdp))

        async with dial(
            server.client, camera=Camera(), edit=without_candidates, edit_answer=behind_nat
        ) as call:
            await call.until_frames(4)
            await nat.rebind()
            transport: Any = call.pc.getTransceivers()[0].receiver.transport
            # the caller asks whether it may still send, as it does every five seconds
            await is_reachable(transport.transport._connection)
            await call.until_more_frames(30)


def without_candidates(sdp: str) -> str:
    return re.sub(r"a=candidate:.*\r\n", "", sdp)


@pytest.mark.skipif(
    not get_host_addresses(use_ipv4=False, use_ipv6=True), reason="this machine has no IPv6"
)
async def test_a_call_over_ipv6(tmp_path: Path) -> None:
    """with no other addresses on either side."""

    def only_ipv6(sdp: str) -> str:
        return re.sub(r"a=candidate:(\S+ ){4}[\d.]+ .*\r\n", "", sdp)

    async with (
        serving(tmp_path, media_port=one_port()) as server,
        dial(server.client, camera=Camera(), edit=only_ipv6, edit_answer=only_ipv6) as call,
    ):
        await call.until_frames(4)


async def test_streams_without_a_name_are_few_and_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """silent ones, slow ones and those of other protocols; a call comes through meanwhile."""
    monkeypatch.setattr(tcp_streams, "_NAMELESS_S", 1.0)
    port = one_port()
    async with serving(tmp_path, media_port=port) as server:
        with ExitStack() as stack:
            sockets = [stack.enter_context(socket.socket()) for _ in range(40)]
            loop = asyncio.get_running_loop()
            for number, sock in enumerate(sockets):
                sock.setblocking(False)
                await loop.sock_connect(sock, ("127.0.0.1", port))
                if number % 2:
                    await loop.sock_sendall(sock, b"GET / HTTP/1.1\r\n\r\n"[: number + 1])
            async with dial(server.client, camera=Camera()) as call:
                await call.until_frames(4)
            for sock in sockets:
                assert await ended(sock)
        assert (await drops(server))["refused_stream"] >= 1


async def ended(sock: socket.socket) -> bool:
    try:
        return await asyncio.get_running_loop().sock_recv(sock, 100) == b""
    except ConnectionResetError:
        return True


async def test_a_port_that_is_taken_is_refused_at_the_start() -> None:
    """by another program's UDP or TCP; after its end it can be had."""
    port = one_port()
    with (
        occupied(port),
        pytest.raises(PortBusy, match=f"media port {port} cannot be opened at 127.0.0.1"),
    ):
        async with MediaPort(port, loopback=True):
            pass
    with socket.create_server(("127.0.0.1", port)), pytest.raises(PortBusy):
        async with MediaPort(port, loopback=True):
            pass
    async with MediaPort(port, loopback=True):
        with pytest.raises(PortBusy):
            async with MediaPort(port, loopback=True):
                pass


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"media_port": 80}, "media_port is 80, it must be from 1024 to 65535"),
        ({"media_port": 8080}, "media_port is 8080, which is the port of the page too"),
        (
            {"media_port": 50_000, "media_ports": "50000-50100"},
            "media_port is 50000 and media_ports is '50000-50100', only one can be",
        ),
    ],
)
def test_a_media_port_that_cannot_be_is_refused(settings: dict[str, Any], reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        ServerConfig(**settings)

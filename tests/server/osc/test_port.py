"""Streams steered by OSC over a real UDP socket, and what a bad sender costs: nothing."""

import logging
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from pythonosc.osc_bundle_builder import IMMEDIATELY, OscBundleBuilder
from pythonosc.osc_message_builder import build_msg
from slipstream_server.config import ServerConfig
from slipstream_server.errors import ConfigError, PortBusy
from slipstream_server.osc.port import OSC_PACKET_MAX_BYTES, OscPort
from slipstream_server.sessions.registry import SessionRegistry

from tests.server.calls import Call, Camera, dial
from tests.server.ports import free_range
from tests.server.serving import Serving, poll, serving


@pytest.fixture
def surface() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        yield sender


def message(name: str, *values: Any) -> bytes:
    return build_msg(f"/slipstream/{name}", values).dgram


async def parameters(server: Serving, call: Call) -> dict[str, Any]:
    async with server.client.get(f"/api/v1/streams/{call.stream}/parameters") as response:
        found: dict[str, Any] = await response.json()
        return found


async def test_a_surface_steers_a_stream_and_its_page(
    tmp_path: Path, surface: socket.socket
) -> None:
    """parameters come in force, of a fader the newest value; what is the page's is told to the
    page. The port is that of `osc_port`, on this machine alone."""
    port = free_range(1).low
    async with (
        serving(tmp_path, osc_port=port) as server,
        dial(server.client, camera=Camera()) as call,
    ):
        await call.until_event("state", state="live")
        surface.connect(("127.0.0.1", port))
        bundle = OscBundleBuilder(IMMEDIATELY)
        for name, value in (("seed", 41), ("motion", 1)):
            bundle.add_content(build_msg(f"/slipstream/{call.stream}/{name}", (value,)))
        surface.send(bundle.build().dgram)
        for share in range(11):
            surface.send(message("strength", share / 10))
        surface.send(message("snapshot-3", 1.0))
        surface.send(message("snapshot-4", 0.0))
        surface.send(message("fade", 0.25))
        await call.until_event("control", name="snapshot-3", value=1.0)
        await call.until_event("control", name="fade", value=0.25)
        high = (await call.until_event("state"))["noise_scale_range"][1]
        await call.until(
            lambda: any(
                one["type"] == "parameters_updated"
                and one["parameters"].get("noise_scale") == high
                and one["parameters"].get("seed") == 41
                for one in call.events
            )
        )
        found = await parameters(server, call)
        assert (found["seed"], found["noise_controller"], found["noise_scale"]) == (41, True, high)
        assert not any(one.get("name") == "snapshot-4" for one in call.events)


async def test_what_is_wrong_is_dropped_and_said(
    tmp_path: Path, surface: socket.socket, caplog: pytest.LogCaptureFixture
) -> None:
    """a flood, nonsense, a packet that is too large: streams go on, and a good message after them
    is taken."""
    async with (
        serving(tmp_path) as server,
        dial(server.client, camera=Camera()) as call,
        OscPort(server.sessions, host="127.0.0.1", port=0) as port,
    ):
        await call.until_event("state", state="live")
        surface.connect(("127.0.0.1", port.port))
        surface.send(b"nonsense")
        surface.send(b"#bundle\0" + b"\xff" * 64)
        surface.send(message("prompt", "x" * OSC_PACKET_MAX_BYTES))
        surface.send(message("colour", 1))
        surface.send(message("nobody/seed", 1))
        surface.send(message("seed", -1))
        await poll(lambda: sum(port.drops.values()) >= 6)
        assert port.drops == {"unreadable": 2, "large": 1, "refused": 3}
        assert "address '/slipstream/colour' is unknown" in caplog.text
        for _ in range(400):
            surface.send(message("seed", 5))
        await poll(lambda: port.drops["often"] > 0)
        surface.send(message("seed", 6))
        await call.until(
            lambda: any(
                one["type"] == "parameters_updated" and one["parameters"].get("seed") in (5, 6)
                for one in call.events
            )
        )
        await call.until_more_frames(4)


def test_a_port_for_others_is_asked_for() -> None:
    """by default it is on this machine alone."""
    assert not ServerConfig(osc_port=9000).is_osc_open
    assert ServerConfig(osc_port=9000, osc_host="0.0.0.0").is_osc_open
    assert not ServerConfig(osc_host="0.0.0.0").is_osc_open
    with pytest.raises(ConfigError, match="osc_port is 70000, it must be from 0 to 65535"):
        ServerConfig(osc_port=70000)
    with pytest.raises(ConfigError, match="osc_host is empty"):
        ServerConfig(osc_host="")


async def test_a_taken_port_is_said(tmp_path: Path, surface: socket.socket) -> None:
    surface.bind(("127.0.0.1", 0))
    with pytest.raises(PortBusy, match=f"osc_port {surface.getsockname()[1]} .* cannot be had"):
        async with serving(tmp_path, ready=False, osc_port=surface.getsockname()[1]):
            raise AssertionError("it has begun")


async def test_an_open_port_is_warned_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        async with serving(
            tmp_path,
            ready=False,
            osc_host="0.0.0.0",
            osc_port=free_range(1).low,
        ):
            assert "whoever reaches that port steers every stream" in caplog.text


def test_a_control_that_waits_already_takes_its_newest_value() -> None:
    """also where as many wait as may; one more is dropped."""
    port = OscPort(cast(SessionRegistry, None), host="127.0.0.1", port=0)  # nothing is steered yet
    for names, dropped in (([*range(64), 0], {}), ([64], {"often": 1})):
        bundle = OscBundleBuilder(IMMEDIATELY)
        for number in names:
            bundle.add_content(build_msg(f"/slipstream/s{number}/seed", (number,)))
        port.datagram_received(bundle.build().dgram, None)
        assert port.drops == dropped

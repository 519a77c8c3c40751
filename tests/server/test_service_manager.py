"""What a service manager is told, and the unit that systemd is given."""

import asyncio
import os
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from slipstream_server.service_manager import ServiceManager

from tests.server.command import health, slipstream

UNIT = Path(__file__).parents[2] / "deploy" / "slipstream.service"


def receiver(path: str) -> socket.socket:
    """systemd's end."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    sock.bind(path)
    sock.setblocking(False)
    return sock


async def until(sock: socket.socket, message: str) -> None:
    """Read messages until this one."""
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(20):
        while (await loop.sock_recv(sock, 4096)).decode() != message:
            pass


async def test_a_manager_is_told_of_start_life_and_end(tmp_path: Path) -> None:
    """with the time that the end may take, so that it kills nobody's call before."""
    path = str(tmp_path / "notify")
    environment = {"NOTIFY_SOCKET": path, "WATCHDOG_USEC": "300000"}
    with receiver(path) as manager:
        async with slipstream(environment=environment) as (process, address):
            await until(manager, "READY=1")
            await until(manager, "WATCHDOG=1")
            await health(address)
            process.send_signal(signal.SIGTERM)
            await until(manager, "STOPPING=1\nEXTEND_TIMEOUT_USEC=25000000")
            assert await asyncio.wait_for(process.wait(), 20) == 0


async def test_an_abstract_address_is_understood() -> None:
    """systemd writes its zero byte as @."""
    name = f"slipstream-test-{os.getpid()}"
    with receiver(f"\0{name}") as manager:
        ServiceManager({"NOTIFY_SOCKET": f"@{name}"}).ready()
        await until(manager, "READY=1")


@pytest.mark.parametrize(
    "environment",
    [{}, {"NOTIFY_SOCKET": "/none/such"}, {"WATCHDOG_USEC": "1", "WATCHDOG_PID": "1"}],
    ids=["none", "gone", "another process's watchdog"],
)
async def test_nobody_to_tell_is_no_trouble(environment: dict[str, str]) -> None:
    manager = ServiceManager(environment)
    manager.ready()
    manager.stopping(5.0)
    await manager.feed_watchdog()


def test_the_unit_is_one_that_systemd_takes(tmp_path: Path) -> None:
    """as far as it can be asked here; and the signal to stop is for the server alone: an engine
    that got it too would end before the calls do."""
    text = UNIT.read_text()
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    settings = dict(line.split("=", 1) for line in lines if not line.startswith("["))
    assert [line for line in lines if line.startswith("[")] == ["[Unit]", "[Service]", "[Install]"]
    assert (settings["Type"], settings["KillMode"]) == ("notify", "mixed")
    assert settings["NoNewPrivileges"] == "yes"
    assert settings["CapabilityBoundingSet"] == ""
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        return
    unit = tmp_path / UNIT.name
    unit.write_text(text.replace("/opt/slipstream/bin/slipstream ", f"{sys.executable} "))
    found = subprocess.run(
        [analyze, "verify", "--man=no", str(unit)], capture_output=True, text=True, timeout=60
    )
    own = [line for line in found.stderr.splitlines() if UNIT.name in line]
    assert own == []


def test_docker_waits_for_the_calls_too() -> None:
    """its own ten seconds would end before the drain and what follows it."""
    compose = (UNIT.parents[1] / "docker" / "compose.yaml").read_text()
    assert "stop_grace_period: 60s" in compose
    assert "SLIPSTREAM_DRAIN_S: ${SLIPSTREAM_DRAIN_S:-30}" in compose

"""docker/compose.yaml: what its containers may do."""

import ipaddress
import re
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]
from slipstream_server.config import ServerConfig, secret_settings

DOCKER = Path(__file__).parents[1] / "docker"


def services(name: str) -> dict[str, dict[str, Any]]:
    """Those of a file, without what it has from another."""
    found = yaml.safe_load((DOCKER / name).read_text())["services"]
    return {key: service for key, service in found.items() if "extends" not in service}


SERVICES, FLEET = services("compose.yaml"), services("fleet.yaml")
WRITABLE = {"prometheus"}  # Docker writes its configuration into it
ALLOWED_CAPABILITIES = {"coturn": ["NET_BIND_SERVICE"]}


@pytest.mark.parametrize("name", [*SERVICES, *FLEET])
def test_a_container_has_no_rights_beyond_its_need(name: str) -> None:
    """its files are read-only, it has no capabilities and gets none, and its image is a version."""
    service = (SERVICES | FLEET)[name]
    assert service["read_only"] is (name not in WRITABLE)
    assert service["cap_drop"] == ["ALL"]
    assert service.get("cap_add", []) == ALLOWED_CAPABILITIES.get(name, [])
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert "privileged" not in service
    if "image" in service:
        assert re.fullmatch(r"[\w/-]+:v?\d+\.\d+\.\d+", service["image"])


@pytest.mark.parametrize("service", [SERVICES["slipstream"], *FLEET.values()])
def test_what_it_sets_are_settings(service: dict[str, Any]) -> None:
    """one that is misspelt would be ignored."""
    known = {setting.name.upper() for setting in fields(ServerConfig)}
    known |= {f"{name.upper()}_FILE" for name in secret_settings()}
    given = [name for name in service["environment"] if not name.startswith("RAY_")]
    names = {name.removeprefix("SLIPSTREAM_") for name in given}
    assert names - known == set()


@pytest.mark.parametrize(
    "address",
    [
        *("10.1.2.3", "127.0.0.1", "169.254.169.254", "172.20.0.1", "192.168.1.1", "100.64.0.1"),
        *("0.0.0.0", "255.255.255.255", "::1", "::", "::ffff:10.0.0.1", "fd00::1", "fe80::1"),
        *("64:ff9b::a00:1", "64:ff9b:1::a00:1"),  # NAT64, RFC 6052 and 8215
        *("2002:a00:1::1", "2001:0:a00:1::1"),  # 6to4 and Teredo, RFC 3056 and 4380
        *("fec0::1",),  # site-local
    ],
)
def test_the_relay_leads_to_no_private_address(address: str) -> None:
    """of this machine, its networks or its cloud, nor to one of them in an IPv6 address."""
    command = SERVICES["coturn"]["entrypoint"][-1]
    assert "--no-multicast-peers" in command
    ranges = re.findall(r"--denied-peer-ip=(\S+?)-(\S+)", command)
    wanted = ipaddress.ip_address(address)
    assert any(
        int(ipaddress.ip_address(first)) <= int(wanted) <= int(ipaddress.ip_address(last))
        for first, last in ranges
        if ipaddress.ip_address(first).version == wanted.version
    )

"""`slipstream ready`, and what compose makes of the port and the scheme."""

import asyncio
import re
import socket
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]
import yarl
from slipstream_server.config import ServerConfig
from slipstream_server.config_sources import read_config
from slipstream_server.errors import ConfigError
from slipstream_server.ready import ready_address

from tests.server.command import slipstream

DOCKER = Path(__file__).parents[2] / "docker"
TOKEN = "0123456789abcdef"


async def asked(*flags: str) -> tuple[int | None, str]:
    """What the command ends with, and says."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "slipstream_server", "ready", *flags),
        stderr=asyncio.subprocess.PIPE,
    )
    _, said = await asyncio.wait_for(process.communicate(), 20)
    return process.returncode, said.decode()


async def test_it_says_whether_the_server_takes_calls(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """by the server's own settings, over https too; where nothing listens it says so."""
    monkeypatch.setenv("HOME", str(tmp_path))
    async with slipstream("--tls", "self-signed", "--base-path", "/slip") as (_, address):
        port = str(yarl.URL(address).port)
        for _ in range(200):
            code, said = await asked("--tls", "self-signed", "--port", port)
            if code == 0:
                break
            assert f"https://127.0.0.1:{port}/ready answers 503: " in said
    assert (code, said) == (0, "")
    with socket.create_server(("127.0.0.1", 0)) as one:
        port = str(one.getsockname()[1])
    code, said = await asked("--port", port)
    assert code == 1
    assert f"slipstream: http://127.0.0.1:{port}/ready does not answer: " in said


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("127.0.0.1", "http://127.0.0.1:8080/ready"),
        ("0.0.0.0", "http://127.0.0.1:8080/ready"),
        ("::", "http://[::1]:8080/ready"),
        ("192.0.2.7", "http://192.0.2.7:8080/ready"),
        ("stage.example", "http://stage.example:8080/ready"),
    ],
)
def test_it_asks_where_the_server_listens(host: str, address: str) -> None:
    assert ready_address(ServerConfig(host=host, token=TOKEN)) == address


def test_a_port_that_is_chosen_at_the_start_cannot_be_asked() -> None:
    with pytest.raises(ConfigError, match="port is 0, which is another one at each start"):
        ready_address(ServerConfig(port=0))


def interpolated(text: str, environment: Mapping[str, str]) -> str:
    """As compose does it, of the forms that are used."""

    def value(found: re.Match[str]) -> str:
        name, form, other = found.groups()
        own = environment.get(name, "")
        return other if bool(own) == (form == ":+") else own

    return re.sub(r"(?<!\$)\$\{(\w+)(:-|:\+)([^}]*)\}", value, text)


@pytest.mark.parametrize(
    "environment",
    [{}, {"SLIPSTREAM_PORT": "9443", "SLIPSTREAM_TLS": "self-signed"}],
    ids=["default", "another port, https"],
)
def test_health_check_and_prometheus_follow_the_port_and_the_scheme(
    environment: dict[str, str],
) -> None:
    compose: Any = yaml.safe_load(interpolated((DOCKER / "compose.yaml").read_text(), environment))
    given = compose["services"]["slipstream"]["environment"]
    settings = {key: text for key, text in given.items() if not key.endswith("_FILE")}
    config = read_config([], {name: str(text or "") for name, text in settings.items()})
    address = yarl.URL(ready_address(config))
    assert address.port == int(environment.get("SLIPSTREAM_PORT", 8080))
    (scraped,) = yaml.safe_load(compose["configs"]["prometheus"]["content"])["scrape_configs"]
    assert scraped["scheme"] == address.scheme
    assert scraped["static_configs"] == [{"targets": [address.authority]}]
    assert 'CMD ["slipstream", "ready"]' in (DOCKER / "Dockerfile").read_text()

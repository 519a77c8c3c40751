"""`slipstream fleet`: what it says, and what it refuses."""

import importlib.util
import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from slipstream_fleet.command import fleet_command

from tests.fleet.gates import ListedNodes, node, node_at, running_gate

NO_ENVIRONMENT: Mapping[str, str] = {}


async def _in_process(*arguments: str) -> tuple[int, str]:
    """The command's status and what it prints, by a process of its own: it waits for answers."""
    import asyncio

    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "slipstream_server", "fleet", *arguments),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    output, _ = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode is not None
    return process.returncode, output.decode()


@pytest.mark.parametrize("command", [["run"], ["down"]])
def test_without_ray_the_extra_is_named(
    command: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name == "ray" else found(name)
    )
    assert fleet_command(command, NO_ENVIRONMENT) == 1
    assert "pip install 'slipstream[fleet]'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["run", "--nodes", "0"], "nodes is 0, it must be from 1 to 1024"),
        (["run", "--nodes", "two"], "the fleet's settings"),
        (["run", "--", "--port", "1"], "--port of a node is chosen by the fleet"),
        (["run", "--", "--max-streams", "0"], "max_streams is 0, it must be from 1 to 64"),
        (["run", "--host", "0.0.0.0"], "set a token of at least 16 characters"),
        (["simulate", "--days", "0"], "days is 0, it must be from 1 to 366"),
        (["status", "--url", "ftp://x"], "url is 'ftp://x', it must begin with http://"),
        (["status", "--url", "http://127.0.0.1:1"], "no fleet answers at http://127.0.0.1:1"),
    ],
)
def test_what_cannot_be_is_refused(
    arguments: list[str], reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """before Ray is started, as one server refuses it."""
    assert fleet_command(arguments, NO_ENVIRONMENT) == 1
    assert reason in capsys.readouterr().err


async def test_status_and_drain(tmp_path: Path) -> None:
    """for people and for programs; a node that is away is shown as such."""
    async with node(tmp_path / "a", "a") as one:
        control = ListedNodes([one, node_at("z", "http://127.0.0.1:1")])
        async with running_gate(control) as url:
            status, text = await _in_process("status", "--url", url)
            lines = text.splitlines()
            assert (status, lines[0].split()[:3]) == (0, ["NODE", "MACHINE", "STATE"])
            assert {tuple(line.split()[:3]) for line in lines[1:3]} == {
                ("a", "here", "ready"),
                ("z", "here", "away"),
            }
            assert lines[-1] == "1 of 2 nodes ready, 0 streams, 2 places free, 0 callers wait"
            status, text = await _in_process("status", "--url", url, "--json")
            assert {entry["node"] for entry in json.loads(text)["nodes"]} == {"a", "z"}
            status, text = await _in_process("drain", "a", "--restart", "--url", url)
            assert (status, control.drained) == (0, [("a", True)])
            status, text = await _in_process("drain", "none", "--url", url)
            assert (status, "there is no node 'none'" in text) == (1, True)

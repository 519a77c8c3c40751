"""The command `slipstream fleet`: run, status, drain, down, simulate."""

import argparse
import importlib.util
import json
import signal
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import fields
from urllib.parse import quote, urlsplit

import msgspec
from slipstream_server.config_sources import read_config
from slipstream_server.errors import ConfigError, SlipstreamError

from slipstream_fleet.fleet_config import FleetConfig, read_fleet_config
from slipstream_fleet.simulation.fleet_run import FleetComparison, compared_policies, fleet_table
from slipstream_fleet.simulation.scenario import FleetScenario
from slipstream_fleet.simulation.simulator import simulate_fleet

_ANSWER_S = 10.0
_NO_RAY = "Ray is not installed, which a fleet runs on; do: pip install 'slipstream[fleet]'"


def fleet_command(argv: Sequence[str], environment: Mapping[str, str]) -> int:
    """0, or 1 and the reason on stderr.

    Args:
        argv: the command line after `fleet`.
        environment: of the process; SLIPSTREAM_* variables are read.
    """
    try:
        arguments = _parser().parse_args(argv)
        match arguments.command:
            case "run":
                return _run(arguments, environment)
            case "status":
                return _status(arguments, environment)
            case "drain":
                return _drain(arguments, environment)
            case "simulate":
                return _simulate(arguments)
            case _:
                return _down(arguments)
    except SlipstreamError as error:
        print(f"slipstream: {error}", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="slipstream fleet", description="Serve calls on many machines, by Ray Serve."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser(
        "run",
        help="start a fleet, here or on a Ray cluster, and serve until asked to stop",
        epilog="What follows -- are flags of each server: slipstream fleet run --nodes 2 -- "
        "--pipeline echo",
    )
    run.add_argument("--host", default="127.0.0.1", help="address of the gate")
    run.add_argument("--port", type=int, default=8080, help="TCP port of the gate")
    run.add_argument("--tls-cert", default="", help="PEM file of the gate's certificate chain")
    run.add_argument("--tls-key", default="", help="PEM file of its private key")
    run.add_argument("--address", default="", help="of a Ray cluster; a new one here unless set")
    for field in msgspec.structs.fields(FleetConfig):
        if field.name != "server":
            flag = "--" + field.name.replace("_", "-")
            run.add_argument(flag, dest=field.name, help=f"(default: {field.default!r})")
    run.add_argument("server", nargs="*", help=argparse.SUPPRESS)
    for name, text in (
        ("status", "show the nodes of a running fleet"),
        ("drain", "move the calls of a node to others; the node stays away, or starts anew"),
    ):
        command = commands.add_parser(name, help=text)
        if name == "drain":
            command.add_argument("node")
            command.add_argument("--restart", action="store_true", help="start its server anew")
        else:
            command.add_argument("--json", action="store_true", help="for programs")
        command.add_argument("--url", default="http://127.0.0.1:8080", help="of the gate")
        command.add_argument("--token-file", default="", help="file with the fleet's token")
    down = commands.add_parser("down", help="end a fleet; its calls may move nowhere")
    down.add_argument("--address", default="auto", help="of its Ray cluster")
    simulate = commands.add_parser(
        "simulate", help="what placing, moving and scaling would cost, without a fleet"
    )
    for setting in fields(FleetScenario):
        flag = "--" + setting.name.replace("_", "-")
        kind = type(setting.default)
        simulate.add_argument(
            flag, type=kind, default=setting.default, help=f"(default: {setting.default:g})"
        )
    simulate.add_argument("--json", action="store_true", help="for programs")
    return parser


def _run(arguments: argparse.Namespace, environment: Mapping[str, str]) -> int:
    names = [field.name for field in msgspec.structs.fields(FleetConfig) if field.name != "server"]
    given = {name: getattr(arguments, name) for name in names}
    given = {name: value for name, value in given.items() if value is not None}
    config = read_fleet_config(given | {"server": arguments.server})
    gate = ["--host", arguments.host, "--port", str(arguments.port)]
    if arguments.tls_cert or arguments.tls_key:
        gate += ["--tls-cert", arguments.tls_cert, "--tls-key", arguments.tls_key]
    settings = read_config([*config.server, *gate], environment)  # the rules of one server hold
    if importlib.util.find_spec("ray") is None:
        raise ConfigError(_NO_RAY)
    from slipstream_fleet.local_run import run_fleet

    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    return run_fleet(config, settings, address=arguments.address, stop=stop)


def _status(arguments: argparse.Namespace, environment: Mapping[str, str]) -> int:
    from slipstream_fleet.fleet_report import FleetReport
    from slipstream_fleet.status_table import status_table

    body = _request(arguments, environment, "GET", "/api/v1/fleet")
    if arguments.json:
        print(json.dumps(json.loads(body), indent=2))
        return 0
    try:
        print(status_table(msgspec.json.decode(body, type=FleetReport)))
    except msgspec.MsgspecError as error:
        raise ConfigError(f"{arguments.url} is another version's gate: {error}") from error
    return 0


def _drain(arguments: argparse.Namespace, environment: Mapping[str, str]) -> int:
    query = "?restart=true" if arguments.restart else ""
    path = f"/api/v1/fleet/nodes/{quote(arguments.node, safe='')}/drain{query}"
    _request(arguments, environment, "POST", path)
    after = "it starts anew then" if arguments.restart else "it stays away"
    print(f"the calls of {arguments.node} move to other nodes; {after}")
    return 0


def _down(arguments: argparse.Namespace) -> int:
    if importlib.util.find_spec("ray") is None:
        raise ConfigError(_NO_RAY)
    from slipstream_fleet.local_run import end_fleet

    end_fleet(arguments.address)
    print("the fleet has ended")
    return 0


def _simulate(arguments: argparse.Namespace) -> int:
    values = {setting.name: getattr(arguments, setting.name) for setting in fields(FleetScenario)}
    try:
        scenario = FleetScenario(**values)
    except ValueError as error:
        raise ConfigError(str(error)) from error
    comparison = FleetComparison(
        scenario=scenario,
        runs=tuple(
            simulate_fleet(scenario, placement=placement, scaling=scaling)
            for placement, scaling in compared_policies()
        ),
    )
    if arguments.json:
        print(msgspec.json.format(msgspec.json.encode(comparison), indent=2).decode())
    else:
        print(fleet_table(comparison))
    return 0


def _request(
    arguments: argparse.Namespace, environment: Mapping[str, str], method: str, path: str
) -> bytes:
    """The body of the gate's answer.

    Raises:
        ConfigError: if it refuses, or does not answer.
    """
    flags = ["--token-file", arguments.token_file] if arguments.token_file else []
    token = read_config(flags, environment).token
    url = arguments.url.rstrip("/")
    if urlsplit(url).scheme not in ("http", "https"):
        raise ConfigError(f"url is {url!r}, it must begin with http:// or https://")
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    request = urllib.request.Request(url + path, method=method, headers=headers)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=_ANSWER_S) as response:
            body: bytes = response.read()
            return body
    except urllib.error.HTTPError as error:
        told = error.read(4096).decode(errors="replace")
        raise ConfigError(f"{url} answers {error.code}: {told}") from error
    except OSError as error:
        reason = getattr(error, "reason", error)
        raise ConfigError(f"no fleet answers at {url} ({reason}); is it running?") from error

"""`slipstream-engine sandbox`: what keeps an engine from the network on this machine, by trying."""

import argparse
import contextlib
import socket
import sys

import msgspec
from slipstream_protocol.inspection import SandboxReport

from slipstream_engine.sandbox.confinement import confine

_CONNECT_S = 2.0


def add_sandbox(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to the engine's command line."""
    parser = commands.add_parser(
        "sandbox", help="confine this process as serve does, and print as JSON what holds"
    )
    parser.add_argument(
        "--connect",
        type=int,
        required=True,
        metavar="PORT",
        help="a port of this machine where something listens, to try to connect to",
    )
    parser.set_defaults(run=run_sandbox)


def run_sandbox(arguments: argparse.Namespace) -> int:
    """Print a `SandboxReport` as JSON."""
    confinement = confine()
    report = SandboxReport(
        held=tuple(map(str, confinement.held)),
        missing={str(measure): why for measure, why in confinement.missing.items()},
        network=network_reached(arguments.connect),
    )
    sys.stdout.write(msgspec.json.encode(report).decode() + "\n")
    return 0


def network_reached(port: int) -> tuple[str, ...]:
    """What this process can do on the network; empty if nothing.

    Args:
        port: of this machine, where something listens.
    """
    reached = []
    for name, family in (("IPv4", socket.AF_INET), ("IPv6", socket.AF_INET6)):
        for kind, kind_name in ((socket.SOCK_STREAM, "TCP"), (socket.SOCK_DGRAM, "UDP")):
            with contextlib.suppress(OSError), socket.socket(family, kind):
                reached.append(f"open a socket for {kind_name} over {name}")
    with contextlib.suppress(OSError):
        socket.create_connection(("127.0.0.1", port), timeout=_CONNECT_S).close()
        reached.append("connect to a port of this machine")
    return tuple(reached)

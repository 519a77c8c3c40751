"""An engine process that is taken over: what it can do to the network and to the server."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from socket import AF_UNIX, create_server, socket
from typing import Any

import pytest
from slipstream_protocol.channel import open_pair, server_end
from slipstream_protocol.messages import Loading, Ready, Stop

DEADLINE_S = 60

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or "Seccomp:" not in Path("/proc/self/status").read_text(),
    reason="this kernel has nothing to hold an engine with; `slipstream doctor` says so too",
)

# an engine whose pipeline is the attacker's: everything is tried where a model would be warmed up
TAKEN_OVER = """
import ctypes, json, os, socket, subprocess, sys, threading
from slipstream_engine.__main__ import main

port, unix_path, found = int(sys.argv[1]), sys.argv[2], {}
server, libc = os.getppid(), ctypes.CDLL(None, use_errno=True)
SELF = "import socket; socket.create_connection(('127.0.0.1', %d), 2)" % port

def attempt(name, work):
    try:
        work()
        found[name] = "done"
    except OSError as error:
        found[name] = type(error).__name__

def call(number, *arguments):
    if libc.syscall(number, *arguments) < 0:
        raise OSError(ctypes.get_errno(), "refused")

def child():
    if subprocess.run([sys.executable, "-c", SELF], stderr=subprocess.DEVNULL).returncode:
        raise OSError("the child could not either")

def attack(*_):
    connect = lambda: socket.create_connection(("127.0.0.1", port), 2)
    attempt("connect", connect)
    for family in ("AF_INET", "AF_INET6", "AF_NETLINK", "AF_PACKET", "AF_VSOCK"):
        for kind in ("SOCK_STREAM", "SOCK_DGRAM", "SOCK_RAW"):
            make = lambda: socket.socket(getattr(socket, family), getattr(socket, kind))
            attempt(f"{family} {kind}", make)
    local = socket.socket(socket.AF_UNIX)
    attempt("a daemon's socket", lambda: local.connect(unix_path))
    attempt("io_uring", lambda: call(425, 8, ctypes.create_string_buffer(256)))
    attempt("the server's descriptors", lambda: call(438, os.pidfd_open(server), 0, 0))
    attempt("the server's memory", lambda: open(f"/proc/{server}/mem", "rb"))
    attempt("the server's network", lambda: libc.setns and call(
        {"x86_64": 308}.get(os.uname().machine, 268), os.open(f"/proc/{server}/ns/net", 0), 0))
    attempt("another program", child)
    thread = threading.Thread(target=attempt, args=("a thread", connect))
    thread.start(), thread.join()
    with open(sys.argv[3], "w") as file:
        json.dump(found, file)

def serve():
    import slipstream_engine.serving.echo as echo
    echo.EchoPipeline.warm_up = attack

import slipstream_engine.cli.serve as command
confine = command.confine
command.confine = lambda **options: (confine(**options), serve())[0]
sys.exit(main(["serve", "--pipeline", "echo", "--channel-fd", sys.argv[4]]))
"""


@dataclass(frozen=True, kw_only=True)
class Taken:
    """An engine that has attacked, while it runs."""

    pid: int
    outcomes: dict[str, str]

    def status(self, field: str) -> str:
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith(field + ":"):
                return line.split(":")[1].strip()
        raise AssertionError(f"/proc has no {field}")


@contextmanager
def taken_over(tmp_path: Path) -> Iterator[Taken]:
    outcomes, unix_path = tmp_path / "outcomes", tmp_path / "daemon"
    ours, theirs = open_pair()
    with create_server(("127.0.0.1", 0)) as listener, socket(AF_UNIX) as daemon:
        daemon.bind(str(unix_path))
        daemon.listen()
        with theirs:
            port, channel_fd = listener.getsockname()[1], str(theirs.fileno())
            process = subprocess.Popen(
                [
                    *(sys.executable, "-c", TAKEN_OVER, str(port), str(unix_path)),
                    *(str(outcomes), channel_fd),
                ],
                pass_fds=(theirs.fileno(),),
            )
        with process, closing(server_end(ours)) as channel:
            while isinstance(message := channel.receive(DEADLINE_S), Loading):
                pass
            assert isinstance(message, Ready)
            yield Taken(pid=process.pid, outcomes=json.loads(outcomes.read_text()))
            channel.send(Stop())
            assert process.wait(DEADLINE_S) == 0


def test_an_engine_that_is_taken_over_reaches_nobody(tmp_path: Path) -> None:
    """no listener of this machine, no socket of any family, no daemon, not the server's memory or
    descriptors; not by a thread or a program of its own either, and the kernel says why."""
    with taken_over(tmp_path) as engine:
        assert {name for name, end in engine.outcomes.items() if end == "done"} == set()
        assert len(engine.outcomes) == 23
        assert engine.status("NoNewPrivs") == "1"
        assert engine.status("Seccomp") == "2"
        assert int(engine.status("CapEff"), 16) & ~(1 << 2) == 0
        own = int(Path("/proc/self/oom_score_adj").read_text())
        assert int(Path(f"/proc/{engine.pid}/oom_score_adj").read_text()) > min(own, 999)


async def test_what_holds_is_found_by_trying() -> None:
    """the command that the doctor runs tries it with a real listener, in a process like an
    engine."""
    with create_server(("127.0.0.1", 0)) as listener:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "slipstream_engine", "sandbox"),
            *("--connect", str(listener.getsockname()[1])),
            stdout=subprocess.PIPE,
            env=os.environ,
        )
        out, _ = await asyncio.wait_for(process.communicate(), DEADLINE_S)
    report: dict[str, Any] = json.loads(out)
    assert report["network"] == []
    assert {"seccomp", "no new privileges"} <= set(report["held"])

"""One server of the fleet as a child process: its port, its start, its end.

The child is started through this module, run as a program: before it becomes the server it asks the
kernel for a SIGTERM when its parent dies (`prctl(2)`, PR_SET_PDEATHSIG), so that a replica that is
killed leaves nothing behind: its server moves its calls to others, and ends. The order outlives
`execve`. The signal comes when the thread ends that has started the child: that has to be one which
lives as long as the replica, as its event loop's does.
"""

import asyncio
import contextlib
import ctypes
import logging
import os
import signal
import socket
import sys
from collections.abc import Iterator, Mapping, Sequence

from slipstream_server.errors import SlipstreamError

from slipstream_fleet.fleet_config import PORTS_PER_MACHINE

logger = logging.getLogger(__name__)

_PR_SET_PDEATHSIG = 1
_LISTEN_S = 60.0  # Python's imports on a machine that is busy starting others
_MESSAGE_BYTES = 256
_EXIT_S = 15.0  # after the drain: calls are told, the engine finishes its pass


class NodeFailed(SlipstreamError):
    """A node's server has not started, or is gone."""


class NodeProcess:
    """A server that runs.

    Args:
        process: its process.
        host, port: where it listens.
        drain_s: how long its calls may take to move.
    """

    def __init__(
        self, process: asyncio.subprocess.Process, host: str, port: int, *, drain_s: float
    ) -> None:
        self._process = process
        self._host, self._port = host, port
        self._drain_s = drain_s

    @classmethod
    async def start(
        cls,
        flags: Sequence[str],
        *,
        host: str,
        first_port: int,
        drain_s: float,
        environment: Mapping[str, str],
    ) -> "NodeProcess":
        """Start a server on the first port that is free, and wait until it listens.

        Args:
            flags: of the server, without those of addresses.
            host: address to listen on.
            environment: of the server.

        Raises:
            NodeFailed: if no port is free, or the server ends before it listens.
        """
        for port in range(first_port, first_port + PORTS_PER_MACHINE):
            media_port = port + PORTS_PER_MACHINE
            if not _is_free(host, port, media_port):
                continue
            with _ready_socket() as (ready, address):
                process = await asyncio.create_subprocess_exec(
                    *(sys.executable, "-m", "slipstream_fleet.node_process", str(os.getpid())),
                    *("--host", host, "--port", str(port), "--media-port", str(media_port)),
                    *("--hand-over", "true", "--drain-s", f"{drain_s:g}", "--max-waiting", "0"),
                    *flags,
                    stdin=asyncio.subprocess.DEVNULL,
                    env={**environment, "NOTIFY_SOCKET": address},
                )
                if await _gets_ready(process, ready):
                    return cls(process, host, port, drain_s=drain_s)
            logger.warning("no server on port %d of %s; the next one is tried", port, host)
            if _is_free(host, port, media_port):
                raise NodeFailed(
                    "the node's server has ended before it listened; its reason stands in the "
                    "replica's log, above"
                )
        last = first_port + PORTS_PER_MACHINE - 1
        raise NodeFailed(
            f"no port from {first_port} to {last} is free on {host}; stop what has them, or choose "
            "another first_port"
        )

    @property
    def url(self) -> str:
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"http://{host}:{self._port}"

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def is_running(self) -> bool:
        return self._process.returncode is None

    async def stop(self) -> None:
        """Have its calls move to others, and wait for its end; killed where that takes too long."""
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(self._drain_s + _EXIT_S):
                await self._process.wait()
        except TimeoutError:
            logger.error("the server on port %d did not end and is killed", self._port)
            self._process.kill()
            await self._process.wait()


@contextlib.contextmanager
def _ready_socket() -> Iterator[tuple[socket.socket, str]]:
    """A socket at which a server says that it listens, as to systemd (sd_notify(3)), and the
    address to give it."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ready:
        ready.bind("")  # an abstract address, which the kernel chooses (unix(7))
        ready.setblocking(False)
        yield ready, "@" + ready.getsockname()[1:].decode()


async def _gets_ready(process: asyncio.subprocess.Process, ready: socket.socket) -> bool:
    """Whether the server comes to listen; it is gone where it does not."""
    loop = asyncio.get_running_loop()
    told = asyncio.create_task(loop.sock_recv(ready, _MESSAGE_BYTES), name="ready")
    ended = asyncio.create_task(process.wait(), name="end")
    try:
        await asyncio.wait((told, ended), timeout=_LISTEN_S, return_when=asyncio.FIRST_COMPLETED)
        if told.done() and process.returncode is None:
            return True
    finally:
        for task in (told, ended):
            task.cancel()
        await asyncio.gather(told, ended, return_exceptions=True)
    with contextlib.suppress(ProcessLookupError):
        process.kill()
    await process.wait()
    return False


def _is_free(host: str, port: int, media_port: int) -> bool:
    """Whether the ports are, that for media by UDP and TCP."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    wanted = (
        (socket.SOCK_STREAM, port),
        (socket.SOCK_STREAM, media_port),
        (socket.SOCK_DGRAM, media_port),
    )
    for kind, number in wanted:
        with socket.socket(family, kind) as sock:
            if kind is socket.SOCK_STREAM:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                sock.bind((host, number))
            except OSError:
                return False
    return True


def _become_server(parent: int, flags: Sequence[str]) -> None:
    """End with the parent, and become the server."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:
        sys.exit("slipstream fleet: the replica is gone already")
    os.execv(sys.executable, [sys.executable, "-m", "slipstream_server", *flags])


if __name__ == "__main__":
    _become_server(int(sys.argv[1]), sys.argv[2:])

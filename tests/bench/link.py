"""A network of its own for a browser, and a link to it of a given capacity.

The browser runs in a network namespace, joined to ours by a pair of virtual interfaces; a token
bucket on our end delays what is sent to it. It needs Linux and root.
"""

import contextlib
import os
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_FAR_INTERFACE = "slip-far"
_BURST = "16kb"
_QUEUE = "200ms"  # what the slow hop may hold, as home routers do


class LinkUnavailable(RuntimeError):
    """Such a link cannot be made on this machine; the text says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """A link that is up.

    Args:
        host: our end's address.
        namespace: the network namespace of the other end.
        folder: for files of this link alone.
    """

    host: str
    namespace: str
    folder: Path

    def inside(self, executable: Path) -> Path:
        """A program that runs `executable` at the other end."""
        script = self.folder / executable.name
        script.write_text(f'#!/bin/sh\nexec ip netns exec {self.namespace} "{executable}" "$@"\n')
        script.chmod(script.stat().st_mode | stat.S_IXUSR)
        return script

    @contextlib.contextmanager
    def cut(self) -> Iterator[None]:
        """The other end has lost its network while the block runs."""
        interface = ("ip", "-n", self.namespace, "link", "set", _FAR_INTERFACE)
        _run(*interface, "down")
        try:
            yield
        finally:
            _run(*interface, "up")


@contextlib.contextmanager
def capped_link(kbps: int) -> Iterator[Link]:
    """A link over which we can send `kbps`; the way back is free.

    Raises:
        LinkUnavailable: if this machine lacks a program or refuses a command.
    """
    for program in ("ip", "tc"):
        if shutil.which(program) is None:
            raise LinkUnavailable(f"there is no `{program}`; Debian's iproute2 brings it")
    own = os.getpid() % 65_536  # several may run at the same time
    namespace, ours = f"slipstream-{own}", f"slip-{own}"
    subnet = f"10.{64 + own // 16_384}.{own // 64 % 256}"
    near, far = (f"{subnet}.{own % 64 * 4 + end}" for end in (1, 2))
    inside = ("ip", "-n", namespace)
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as cleanup:
        _run("ip", "netns", "add", namespace)
        cleanup.callback(_run, "ip", "netns", "del", namespace)
        _run("ip", "link", "add", ours, "type", "veth", "peer", _FAR_INTERFACE, "netns", namespace)
        cleanup.callback(_run, "ip", "link", "del", ours)  # a namespace takes its time over it
        _run("ip", "addr", "add", f"{near}/30", "dev", ours)
        _run("ip", "link", "set", ours, "up")
        _run(*inside, "addr", "add", f"{far}/30", "dev", _FAR_INTERFACE)
        _run(*inside, "link", "set", _FAR_INTERFACE, "up")
        _run(*inside, "link", "set", "lo", "up")
        _run(
            *("tc", "qdisc", "add", "dev", ours, "root", "tbf"),
            *("rate", f"{kbps}kbit", "burst", _BURST, "latency", _QUEUE),
        )
        yield Link(host=near, namespace=namespace, folder=Path(folder))


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=10)
    if done.returncode:
        raise LinkUnavailable(f"`{' '.join(command)}` is refused here: {done.stderr.strip()}")

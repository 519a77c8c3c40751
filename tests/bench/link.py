"""A network of its own for a browser, and a link to it of a given capacity.

The browser runs in a network namespace, joined to ours by a pair of virtual interfaces; a token
bucket on our end holds up what is sent to it. Linux, and root, or it cannot be had.
"""

import contextlib
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

NAMESPACE = "slipstream-bench"
HERE, THERE = "10.213.7.1", "10.213.7.2"
_OURS, _THEIRS = "slip-here", "slip-there"
_BURST = "16kb"
_QUEUE = "200ms"  # what the slow hop may hold, as home routers do


class LinkUnavailable(RuntimeError):
    """Such a link cannot be made on this machine; the text says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """A link that stands.

    Args:
        host: our address on it.
        folder: of our own.
    """

    host: str
    folder: Path

    def inside(self, executable: Path) -> Path:
        """A program that runs `executable` at the other end."""
        script = self.folder / executable.name
        script.write_text(f'#!/bin/sh\nexec ip netns exec {NAMESPACE} "{executable}" "$@"\n')
        script.chmod(script.stat().st_mode | stat.S_IXUSR)
        return script


@contextlib.contextmanager
def capped_link(kbps: int) -> Iterator[Link]:
    """A link over which we can send `kbps`; the way back is free.

    Raises:
        LinkUnavailable: if this machine does not let us.
    """
    for program in ("ip", "tc"):
        if shutil.which(program) is None:
            raise LinkUnavailable(f"there is no `{program}`; Debian's iproute2 brings it")
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as made:
        _run("ip", "netns", "add", NAMESPACE)
        made.callback(_run, "ip", "netns", "del", NAMESPACE)  # takes both interfaces along
        _run("ip", "link", "add", _OURS, "type", "veth", "peer", _THEIRS, "netns", NAMESPACE)
        _run("ip", "addr", "add", f"{HERE}/30", "dev", _OURS)
        _run("ip", "link", "set", _OURS, "up")
        inside = ("ip", "netns", "exec", NAMESPACE)
        _run(*inside, "ip", "addr", "add", f"{THERE}/30", "dev", _THEIRS)
        _run(*inside, "ip", "link", "set", _THEIRS, "up")
        _run(*inside, "ip", "link", "set", "lo", "up")
        _run(
            *("tc", "qdisc", "add", "dev", _OURS, "root", "tbf"),
            *("rate", f"{kbps}kbit", "burst", _BURST, "latency", _QUEUE),
        )
        yield Link(host=HERE, folder=Path(folder))


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=10)
    if done.returncode:
        raise LinkUnavailable(f"`{' '.join(command)}` is refused here: {done.stderr.strip()}")

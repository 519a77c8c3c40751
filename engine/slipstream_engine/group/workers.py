"""Starts the ranks of a group, and ends them: none outlives the leader, however that ends.

The first rank is a thread of the leader, each further one a process. Both hear of the leader's end
by their channel; a process is also killed by the kernel then, even one that was stopped.
"""

import contextlib
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from slipstream_protocol.channel import Channel, ChannelClosed, open_pair

from slipstream_engine.errors import DeviceLostError
from slipstream_engine.group.messages import (
    FromRank,
    RankFailed,
    RankReady,
    Setup,
    StopRank,
    ToRank,
)

START_S = 180.0
_EXIT_S = 2.0


class RankStartError(Exception):
    """A rank did not come up; the text says why.

    Args:
        rank: its number.
    """

    def __init__(self, rank: int, reason: str) -> None:
        super().__init__(reason)
        self.rank = rank


class Workers:
    """All ranks of a group.

    Args:
        devices: of the ranks, in order.

    Attributes:
        channels: to each of them.
    """

    def __init__(self, devices: Sequence[str]) -> None:
        self._devices = tuple(devices)
        self._folder = TemporaryDirectory(prefix="slipstream-ranks-")
        self._processes: dict[int, subprocess.Popen[bytes]] = {}
        self._threads: list[threading.Thread] = []
        self.channels: list[Channel[FromRank]] = []

    @property
    def store(self) -> Path:
        """A file by which the ranks find each other."""
        return Path(self._folder.name) / "store"

    def name(self, rank: int) -> str:
        """A rank, for people."""
        return f"rank {rank} on {self._devices[rank]}"

    def exit_of(self, rank: int) -> str:
        """How the process of a rank has ended, as the end of a sentence; empty if it has not."""
        process = self._processes.get(rank)
        if process is None:
            return ""
        with contextlib.suppress(subprocess.TimeoutExpired):
            code = process.wait(_EXIT_S)
            return f" by signal {-code}" if code < 0 else f" with exit code {code}"
        return ""

    def start_process(self, setup: Setup) -> None:
        """Start a further rank; ranks are started in order."""
        ours, theirs = open_pair()
        command = [sys.executable, "-m", "slipstream_engine", "rank"]
        with theirs:
            self._processes[setup.rank] = subprocess.Popen(
                [*command, "--channel-fd", str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
            )
        channel = self._add(ours, setup.rank)
        channel.send(setup)

    def start_thread(self, rank: int, serve: Callable[[Channel[ToRank]], None]) -> None:
        """Start a rank in this process; ranks are started in order.

        Args:
            serve: returns when the leader says so.
        """
        ours, theirs = open_pair()
        self._add(ours, rank)

        def run() -> None:
            channel: Channel[Any] = Channel(theirs, ToRank, other="the leader")
            try:
                serve(channel)
            except Exception as error:  # the leader ends the group
                with contextlib.suppress(ChannelClosed):
                    channel.send(RankFailed(rank=rank, reason=f"{type(error).__name__}: {error}"))
            finally:
                channel.close()

        thread = threading.Thread(target=run, name=f"rank {rank}", daemon=True)
        self._threads.append(thread)
        thread.start()

    def await_ready(self, fingerprint: str) -> list[RankReady]:
        """Wait until all ranks have loaded their weights and found the others.

        Returns:
            What each of them says.

        Raises:
            RankStartError: if one does not, or has other code or weights.
        """
        deadline_s = time.monotonic() + START_S
        ready: list[RankReady] = []
        for rank, channel in enumerate(self.channels):
            try:
                report = channel.receive(max(0.0, deadline_s - time.monotonic()))
            except ChannelClosed:
                raise RankStartError(
                    rank, f"{self.name(rank)} has ended at its start{self.exit_of(rank)}"
                ) from None
            match report:
                case RankReady(fingerprint=found) if found == fingerprint:
                    ready.append(report)
                case RankReady():
                    raise RankStartError(
                        rank,
                        f"{self.name(rank)} has other code or weights than the leader; install "
                        "one version on this machine, and leave the weights alone while it starts",
                    )
                case RankFailed(reason=reason):
                    raise RankStartError(rank, f"{self.name(rank)} cannot start: {reason}")
                case _:
                    raise RankStartError(
                        rank, f"{self.name(rank)} was not ready within {START_S:.0f} s"
                    )
        return ready

    def stop(self) -> None:
        """End all ranks: ask them, and kill those that do not listen; a second time, nothing."""
        for channel in self.channels:
            with contextlib.suppress(ChannelClosed, DeviceLostError):
                channel.send(StopRank())
        deadline_s = time.monotonic() + _EXIT_S
        for process in self._processes.values():
            try:
                process.wait(max(0.0, deadline_s - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        for thread in self._threads:  # it does what it was told before, and so do the others
            thread.join(_EXIT_S)
        for channel in self.channels:
            channel.close()
        self.channels.clear()
        self._folder.cleanup()

    def _add(self, sock: Any, rank: int) -> Channel[FromRank]:
        channel: Channel[FromRank] = Channel(sock, FromRank, other=f"rank {rank}")
        self.channels.append(channel)
        return channel

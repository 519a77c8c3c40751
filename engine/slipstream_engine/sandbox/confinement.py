"""Confines this process: no network, no rights over other processes, first to go without memory.

Each measure is taken where the kernel allows it. None is a condition: a container or an old kernel
may refuse some, and the engine then runs with the others and says so.
"""

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from slipstream_engine.sandbox import system_calls
from slipstream_engine.sandbox.syscall_filter import ARCHITECTURES, Architecture

_OOM_SCORE_STEP, _OOM_SCORE_MAX = 500, 1000
_PROC = Path("/proc/self")


class Measure(StrEnum):
    """What can be done, as people read it."""

    KILLED_FIRST = "killed first when memory runs out"
    NETWORK = "an empty network namespace"
    CAPABILITIES = "no capabilities"
    PRIVILEGES = "no new privileges"
    LANDLOCK = "Landlock"
    CALLS = "seccomp"


@dataclass(slots=True)
class Confinement:
    """The measures that hold, and why the others do not.

    Args:
        held: each with details for people, which may be empty.
        missing: each with what the system says.
    """

    held: dict[Measure, str] = field(default_factory=dict)
    missing: dict[Measure, str] = field(default_factory=dict)

    def __str__(self) -> str:
        held = [f"{name} ({detail})" if detail else str(name) for name, detail in self.held.items()]
        text = "confined: " + (", ".join(held) or "not at all")
        missing = ", ".join(f"{name} ({why})" for name, why in self.missing.items())
        return f"{text}; not possible here: {missing}" if missing else text


def confine(*, needs_loopback: bool = False) -> Confinement:
    """Take every measure that this kernel allows. Cannot be undone; children inherit all of it.

    Ranks of a group talk over a loopback. In a network namespace of their own it reaches nothing
    but them; where there is none, the network cannot be refused, and the report says so.

    Call it before anything starts a thread, as importing numpy does: namespaces and filters are
    those of a thread, and only new threads inherit them.
    """
    confinement = Confinement()
    machine = os.uname().machine
    architecture = ARCHITECTURES.get(machine)
    measures: dict[Measure, Callable[[Architecture], str]] = {
        Measure.KILLED_FIRST: lambda _: _be_killed_first(),
        Measure.NETWORK: lambda _: _leave_network(needs_loopback=needs_loopback),
        Measure.CAPABILITIES: _give_up_capabilities,
        Measure.PRIVILEGES: lambda _: _give_up_privileges(),
        Measure.LANDLOCK: lambda _: _restrict_with_landlock(allows_tcp=needs_loopback),
        Measure.CALLS: lambda architecture: _filter_calls(
            architecture,
            needs_loopback=needs_loopback,
            is_apart=Measure.NETWORK in confinement.held,
        ),
    }
    for measure, take in measures.items():
        if sys.platform != "linux":
            confinement.missing[measure] = "this system is not Linux"
        elif architecture is None:
            confinement.missing[measure] = f"it is not there for {machine}"
        else:
            try:
                confinement.held[measure] = take(architecture)
            except OSError as error:
                confinement.missing[measure] = error.strerror or str(error)
    return confinement


def _be_killed_first() -> str:
    """The server, whose calls outlive an engine, has the smaller score."""
    path = _PROC / "oom_score_adj"
    score = min(int(path.read_text()) + _OOM_SCORE_STEP, _OOM_SCORE_MAX)
    path.write_text(str(score))
    return ""


def _leave_network(*, needs_loopback: bool) -> str:
    """Move to a network namespace where there is nothing; its loopback is down unless needed."""
    if len(os.listdir(_PROC / "task")) > 1:
        raise OSError("this process has other threads, which would keep the network")
    detail = ""
    try:
        system_calls.unshare(system_calls.NEW_NETWORK)
    except PermissionError:  # no rights of its own: those of a user namespace of its own are enough
        if not _works_in_child(_unshare_user_and_network):
            raise
        _unshare_user_and_network()
        detail = "and a user namespace"
    if needs_loopback:
        system_calls.raise_loopback()
        detail += " with a loopback for its ranks"
    return detail.strip()


def _unshare_user_and_network() -> None:
    user, group = os.geteuid(), os.getegid()
    system_calls.unshare(system_calls.NEW_USER | system_calls.NEW_NETWORK)
    (_PROC / "setgroups").write_text("deny")
    (_PROC / "uid_map").write_text(f"{user} {user} 1")
    (_PROC / "gid_map").write_text(f"{group} {group} 1")


def _works_in_child(work: Callable[[], None]) -> bool:
    """Whether it works, tried in a process that is thrown away: half of it cannot be undone."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            work()
            code = 0
        finally:
            os._exit(code)
    return os.waitpid(child, 0)[1] == 0


def _give_up_capabilities(architecture: Architecture) -> str:
    """But for reading: the weights may be another user's, if the server runs as root."""
    kept = system_calls.keep_capabilities(system_calls.READ_ANY_FILE, architecture)
    return "but to read any file" if kept else ""


def _give_up_privileges() -> str:
    system_calls.set_no_new_privileges()
    return ""


def _restrict_with_landlock(*, allows_tcp: bool) -> str:
    return f"version {system_calls.restrict_with_landlock(allows_tcp=allows_tcp)}"


def _filter_calls(architecture: Architecture, *, needs_loopback: bool, is_apart: bool) -> str:
    if needs_loopback and not is_apart:
        raise OSError("its ranks need a loopback, and have none of their own here")
    system_calls.filter_calls(architecture, has_own_loopback=needs_loopback)
    return ""

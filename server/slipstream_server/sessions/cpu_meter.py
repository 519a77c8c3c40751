"""Samples the processor time of server and engine, for `cpu_budget.py`."""

import asyncio
import os
import time
from collections.abc import Callable, Collection
from pathlib import Path

from slipstream_protocol.clock import NS_PER_S, now_ns

from slipstream_server.sessions.cpu_budget import CpuBudget

_EVERY_S = 1.0
_QUOTA = Path("/sys/fs/cgroup/cpu.max")  # of a container: "QUOTA PERIOD", or "max PERIOD"
_UTIME, _STIME = 11, 12  # of what follows the name in /proc/PID/stat, in ticks; proc(5)


async def keep_measuring(
    budget: CpuBudget,
    *,
    engine_pid: Callable[[], int | None],
    sending: Callable[[], int],
    calls: Callable[[], Collection[str]],
) -> None:
    """Sample once a second, in a thread: files are read.

    Args:
        engine_pid: of the engine's process, while there is one.
        sending: streams that send pictures now.
        calls: the ids of all sessions.
    """
    budget.limit(await asyncio.to_thread(usable_cores))
    known = frozenset(calls())
    while True:
        pid = engine_pid()
        present = frozenset(calls())
        budget.sample(
            now_ns(),
            own_ns=time.process_time_ns(),
            engine_ns=0 if pid is None else await asyncio.to_thread(process_cpu_ns, pid),
            sending=sending(),
            is_steady=present == known,
        )
        known = present
        await asyncio.sleep(_EVERY_S)


def usable_cores() -> float:
    """Cores that this process and its children may use."""
    affinity = getattr(os, "sched_getaffinity", None)
    cores = float(len(affinity(0)) if affinity else os.cpu_count() or 1)
    try:
        quota, period = _QUOTA.read_text().split()
        return cores if quota == "max" else min(cores, int(quota) / int(period))
    except (OSError, ValueError, ZeroDivisionError):
        return cores


def process_cpu_ns(pid: int) -> int:
    """Processor time that a process has used so far; 0 where that cannot be known."""
    try:
        _, _, fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")
        ticks = sum(int(fields.split()[place]) for place in (_UTIME, _STIME))
        return ticks * NS_PER_S // os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError):
        return 0

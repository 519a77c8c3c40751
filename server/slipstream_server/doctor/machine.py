"""The machine: memory, shared memory, open files, clocks."""

import os
import time
from pathlib import Path

from slipstream_protocol.arena import Arena, ArenaRefused, Layout
from slipstream_protocol.frames import Geometry

from slipstream_server.config import ServerConfig
from slipstream_server.doctor.finding import Finding, fail, ok, warn

_MIB = 1 << 20
_SMALL_MIB = 1024  # server and embedded model together hold 0.6 GiB
_REAL_MIB = 16 << 10  # reading the text encoder alone takes 11 GB
_FILES_PER_CALL = 16  # sockets of every address, and the decoder's pipes
_FILES_OWN = 64
_BEFORE_THIS_CODE_S = 1_735_689_600  # 2025-01-01: a clock before that is not set
_SLOW_CLOCKS = ("hpet", "acpi_pm", "jiffies")
_CLOCKSOURCE = Path("/sys/devices/system/clocksource/clocksource0/current_clocksource")
_CGROUP = Path("/sys/fs/cgroup")


async def check_memory(config: ServerConfig, *, proc: Path = Path("/proc")) -> Finding:
    """Whether free memory is enough for the preset."""
    free = free_mib(proc, _CGROUP)
    if free is None:
        return ok("this system does not say how much memory is free")
    is_small = config.pipeline == "echo" or config.preset == "tiny"
    wanted = _SMALL_MIB if is_small else _REAL_MIB
    found = f"{free} MiB free"
    if free < wanted:
        return warn(
            f"{found}, preset {config.preset} wants about {wanted}",
            "end other programs, or raise the container's memory limit",
        )
    return ok(found)


def free_mib(proc: Path, cgroup: Path) -> int | None:
    """Memory a new process may use: the machine's or, where that is less, the container's."""
    lines = _text(proc / "meminfo").splitlines()
    fields = dict(line.split(":", 1) for line in lines if ":" in line)
    if "MemAvailable" not in fields:
        return None
    free = int(fields["MemAvailable"].split()[0]) // 1024
    limit, used = _text(cgroup / "memory.max"), _text(cgroup / "memory.current")
    if not (limit.isdigit() and used.isdigit()):
        return free
    return min(free, (int(limit) - int(used)) // _MIB)


def _text(path: Path) -> str:
    """The content of a small file; empty if it cannot be read."""
    try:
        return path.read_text().strip()
    except OSError:
        return ""


async def check_shared_memory(config: ServerConfig) -> Finding:
    """Whether shared memory works: an arena is made, written and read."""
    layout = Layout(
        geometry=Geometry(width_px=640, height_px=480, first_chunk_frames=5, chunk_frames=4),
        lanes=config.max_streams,
        in_slots=1,
        out_slots=2,
    )
    kind = "anonymous memory (memfd)" if hasattr(os, "memfd_create") else "an unlinked file"
    try:
        arena = Arena.create(layout)
    except ArenaRefused as error:
        return fail(
            str(error),
            "raise the memory limit, or allow memfd_create in the container's seccomp profile",
        )
    slot_THW = arena.input(0, 0)
    slot_THW[:] = 1
    is_kept = bool((slot_THW == 1).all())
    del slot_THW
    arena.close()
    if not is_kept:
        return fail(f"{kind} does not keep what is written", "report this kernel; use another")
    return ok(f"{layout.total_bytes // _MIB} MiB of {kind} for {config.max_streams} streams")


async def check_open_files(config: ServerConfig) -> Finding:
    """Whether the limit of open files is enough for every call's sockets."""
    try:
        import resource
    except ImportError:
        return ok("this system does not limit them by process")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return judge_open_files(soft, hard, calls=config.max_streams + config.max_viewers)


def judge_open_files(soft: int, hard: int, *, calls: int) -> Finding:
    """Whether the limits (-1: none) are enough for `calls`."""
    wanted = _FILES_OWN + _FILES_PER_CALL * calls
    if soft < 0 or soft >= wanted:
        return ok(f"{'no limit' if soft < 0 else soft}, {calls} calls want {wanted}")
    reachable = hard < 0 or hard >= wanted
    return fail(
        f"at most {soft}, {calls} calls want {wanted}",
        f"ulimit -n {wanted}" + ("" if reachable else " (as root: the hard limit is lower)"),
    )


async def check_clock(*, clocksource: Path = _CLOCKSOURCE) -> Finding:
    """Whether the wall clock is set (certificates expire by it), and fast to read."""
    now_s = time.time()
    if now_s < _BEFORE_THIS_CODE_S:
        return fail(
            f"the clock says {time.strftime('%Y-%m-%d', time.gmtime(now_s))}",
            "set it (timedatectl set-ntp true): certificates and TURN passwords end by it",
        )
    source = _text(clocksource) or "unknown"
    found = f"{time.strftime('%Y-%m-%d %H:%M:%S', time.gmtime(now_s))} UTC, source {source}"
    if source in _SLOW_CLOCKS:
        return warn(found, "every stamp costs a microsecond; prefer tsc (kernel: clocksource=tsc)")
    return ok(found)

"""An engine over several devices: whichever of its processes fails, calls go on, none is left."""

import os
import signal
from pathlib import Path

import psutil
import pytest
from slipstream_server.engine_status import EngineState

from tests.server.calls import Call, Camera, dial
from tests.server.serving import START_S, Serving, poll, serving

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.name != "posix", reason="signals are Unix's"),
]


# read by every Python at its start; what a rank has no memory for is found out by its allocator
NO_MEMORY_AT_SIGNAL = """
import signal
import sys

def forget_memory(*_):
    import torch
    from slipstream_engine.diffusion.chunk import ChunkMaker

    ChunkMaker.run_part = lambda *_, **__: torch.empty(1 << 50)

if "rank" in sys.orig_argv:
    signal.signal(signal.SIGUSR1, forget_memory)
"""


def rank_of(server: Serving) -> psutil.Process:
    """The process of the engine's second rank."""
    assert server.supervisor.status.pid is not None
    children = psutil.Process(server.supervisor.status.pid).children()
    (rank,) = (child for child in children if "rank" in child.cmdline())
    return rank


def is_gone(process: psutil.Process) -> bool:
    return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


async def lose_rank(server: Serving, call: Call, number: int, *, epoch: int) -> str:
    """Send a signal to the second rank, and wait until frames come from the next engine.

    Returns:
        What the caller was told.
    """
    rank = rank_of(server)
    call.events.clear()
    rank.send_signal(number)
    failed = await call.until_event("pipeline_error")
    await poll(lambda: server.supervisor.status.state is EngineState.READY, START_S)
    live = await call.until_event("state", state="live", epoch=epoch)
    assert live["parameters"]["seed"] == 7
    await call.until_more_frames(8)
    await poll(lambda: is_gone(rank))
    return str(failed["error"])


async def test_a_call_outlives_any_rank(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A rank that is killed, one without memory, one that hangs: the engine starts again, and
    parameters stay.

    For the one that hangs the leader is killed with -9: the stopped process goes with it.
    """
    (tmp_path / "sitecustomize.py").write_text(NO_MEMORY_AT_SIGNAL)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    async with serving(
        tmp_path, pipeline="diffusion", size="64x64", devices="cpu,cpu", plan="layers", threads=1
    ) as server:
        assert server.supervisor.status.ready is not None
        assert "layers over cpu, cpu" in server.supervisor.status.ready.note
        async with dial(server.client, camera=Camera(fps=12)) as call:
            await call.until_frames(8)
            call.send({"seed": 7, "rev": 1})
            await call.until_event("applied", rev=1)
            reason = await lose_rank(server, call, signal.SIGKILL, epoch=2)
            assert "rank 1 on cpu has ended by signal 9" in reason
            reason = await lose_rank(server, call, signal.SIGUSR1, epoch=3)
            assert "rank 1 on cpu has failed: RuntimeError" in reason
            assert "can't allocate memory" in reason
            await lose_rank(server, call, signal.SIGSTOP, epoch=4)
        last = rank_of(server)
    await poll(lambda: is_gone(last))

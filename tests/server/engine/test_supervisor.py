"""Engines that start late, never, or end; played by small scripts."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager

import psutil
import pytest
from slipstream_server.config import ServerConfig
from slipstream_server.engine.supervisor import Supervisor, engine_command
from slipstream_server.engine_status import EngineState
from slipstream_server.errors import EngineUnavailable
from slipstream_server.frames.size_choice import same_sizes

from tests.server.serving import poll

OPENED = """
import argparse, socket, sys
from slipstream_protocol.channel import engine_end
from slipstream_protocol.messages import Failed, Loading
parser = argparse.ArgumentParser()
parser.add_argument("--channel-fd", type=int)
channel = engine_end(socket.socket(fileno=parser.parse_args().channel_fd))
"""

WITH_READY = (
    OPENED
    + """
from slipstream_protocol.messages import Ready, Vocabulary
from slipstream_protocol.parameters import Parameters
from slipstream_protocol.frames import Geometry
size = Geometry(width_px=4, height_px=2, first_chunk_frames=4, chunk_frames=4)
ready = Ready(
    pipeline="p", preset="p", geometry=size, lanes=1, in_slots=1, out_slots=1,
    defaults=Parameters(), step_list=(1,), noise_scale_range=(0, 1), vocabulary=Vocabulary(),
    note="",
)
"""
)

OF_ONE_SIZE = """
import argparse, socket
from slipstream_engine.serving.echo import EchoPipeline
from slipstream_engine.serving.loop import Loop
from slipstream_protocol.arena import Arena, Layout
from slipstream_protocol.channel import engine_end
parser = argparse.ArgumentParser()
parser.add_argument("--channel-fd", type=int)
channel = engine_end(socket.socket(fileno=parser.parse_known_args()[0].channel_fd))
pipeline = EchoPipeline(width_px=32, height_px=16)
arena = Arena.create(Layout(geometry=pipeline.geometry, lanes=1, in_slots=1, out_slots=2))
Loop(pipeline, channel, arena).run()
"""


@asynccontextmanager
async def supervised(script: str) -> AsyncIterator[Supervisor]:
    with ThreadPoolExecutor(1) as pool:
        supervisor = Supervisor([sys.executable, "-c", script], pool)
        running = asyncio.create_task(supervisor.run())
        try:
            yield supervisor
        finally:
            supervisor.stop()
            await asyncio.wait_for(running, 20)
            assert supervisor.status.state is EngineState.STOPPED
            assert supervisor.status.pid is None


async def down(supervisor: Supervisor) -> str:
    """The error that a caller gets from an engine that is down."""
    await poll(lambda: supervisor.status.state is EngineState.DOWN)
    with pytest.raises(EngineUnavailable) as caught:
        supervisor.require()
    return str(caught.value)


async def test_a_loading_engine_reports_its_stage() -> None:
    """callers get the stage; stopping in the middle of it works."""
    script = OPENED + "channel.send(Loading(stage='reading weights')); channel.receive()"
    async with supervised(script) as supervisor:
        await poll(lambda: supervisor.status.detail == "reading weights")
        with pytest.raises(EngineUnavailable, match=r"is starting \(reading weights\)") as caught:
            supervisor.require()
        assert caught.value.retry_after_s > 0


async def test_the_engines_own_reason_is_quoted() -> None:
    script = OPENED + "channel.send(Failed(lane=-1, reason='ValueError: preset is odd'))"
    async with supervised(script) as supervisor:
        assert "the engine did not start: ValueError: preset is odd" in await down(supervisor)


async def test_the_last_line_of_its_output_is_quoted_where_it_gave_no_reason() -> None:
    script = OPENED + "print('one'); sys.exit('no such file: weights.bin')"
    async with supervised(script) as supervisor:
        reason = await down(supervisor)
    assert "the engine has ended with exit code 1: no such file: weights.bin" in reason


async def test_a_signal_is_named() -> None:
    script = "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)"
    async with supervised(script) as supervisor:
        assert "the engine was ended by SIGSEGV" in await down(supervisor)


async def test_nonsense_on_the_channel_is_an_end() -> None:
    """an engine of another version, or none at all, is not waited for; the reason is kept."""
    script = OPENED + "channel._sock.send(b'x' * 100); channel.receive()"
    async with supervised(script) as supervisor:
        assert "the engine breaks the protocol: " in await down(supervisor)


async def test_an_engine_that_sends_nothing_while_it_loads_is_ended(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """for that reason, not for the exit code that its end brings."""
    monkeypatch.setattr("slipstream_server.engine.supervisor.SILENT_LOADING_S", 0.05)
    async with supervised(OPENED + "channel.receive()") as supervisor:
        reason = "the engine has sent nothing for 0.05 s while it was loading"
        assert reason in await down(supervisor)


async def test_a_ready_engine_without_its_memory_is_an_end() -> None:
    """the descriptor of the pixels must come with the message; the next engine is started."""
    async with supervised(WITH_READY + "channel.send(ready); channel.receive()") as supervisor:
        assert "the engine could not be served" in await down(supervisor)
        await poll(lambda: supervisor.status.restarts > 0)


@pytest.mark.skipif(sys.platform != "linux", reason="no other system has memory of a fixed size")
@pytest.mark.parametrize(
    ("memory", "reason"),
    [
        ("os.open('/dev/zero', os.O_RDWR)", "its shared memory is no anonymous file"),
        ("(file := tempfile.TemporaryFile()).fileno()", "its shared memory"),
        ("os.memfd_create('a', os.MFD_ALLOW_SEALING)", "could be made smaller"),
        ("sealed(64)", "shared memory is 64 bytes, the layout needs"),
    ],
)
async def test_memory_that_could_fail_under_the_server_is_not_taken(
    memory: str, reason: str
) -> None:
    """reading what an engine has cut off since would end the server and every call with it; and
    every descriptor that is refused is closed."""
    script = (
        f"{WITH_READY}import fcntl, os, tempfile\n"
        "def sealed(size):\n"
        "    memory = os.memfd_create('a', os.MFD_ALLOW_SEALING)\n"
        "    os.ftruncate(memory, size)\n"
        "    fcntl.fcntl(memory, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK)\n"
        "    return memory\n"
        f"channel.send(ready, [{memory}]); channel.receive()"
    )
    before = psutil.Process().num_fds()
    async with supervised(script) as supervisor:
        assert reason in await down(supervisor)
    assert psutil.Process().num_fds() <= before


async def test_a_command_that_is_missing_is_reported() -> None:
    with ThreadPoolExecutor(1) as pool:
        supervisor = Supervisor(["/none/such"], pool)
        running = asyncio.create_task(supervisor.run())
        reason = await down(supervisor)
        supervisor.stop()
        await running
    assert "the engine cannot be started" in reason


async def test_an_engine_that_does_not_leave_is_ended() -> None:
    """neither a closed channel nor SIGTERM move it; the server stops all the same."""
    script = (
        OPENED + "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "channel.send(Loading(stage='deaf')); time.sleep(600)"
    )
    async with supervised(script) as supervisor:
        await poll(lambda: supervisor.status.detail == "deaf")
        pid = supervisor.status.pid
        assert pid is not None
        assert psutil.pid_exists(pid)
    assert not psutil.pid_exists(pid)


def test_the_command_says_what_the_settings_say() -> None:
    """the module by name: the server imports nothing of it."""
    command = engine_command(ServerConfig(pipeline="echo", preset="p", max_streams=3))
    assert command[1:4] == ("-m", "slipstream_engine", "serve")
    assert command[4:10] == ("--pipeline", "echo", "--preset", "p", "--max-streams", "3")
    assert command[10:] == ("--age-ms-target", "1000.0")
    slow = engine_command(ServerConfig(pipeline="echo", echo_steps="ms.txt"))
    assert slow[-2:] == ("--echo-steps", "ms.txt")


def test_the_command_line_has_what_was_set_and_no_more() -> None:
    """settings that are the engine's to default do not appear on its command line unless set."""
    plain = engine_command(ServerConfig())
    assert not {"--size", "--codec", "--device", "--weights", "--compile", "--threads"} & set(plain)
    assert "--checkpoint" not in plain
    chosen = engine_command(
        ServerConfig(size="320x240", codec="wan+taehv", threads=2, checkpoint="own.pt")
    )
    for flag, value in (
        *(("--size", "320x240"), ("--codec", "wan+taehv")),
        *(("--threads", "2"), ("--checkpoint", "own.pt")),
    ):
        assert chosen[chosen.index(flag) + 1] == value


async def test_the_next_engine_serves_the_only_size_of_the_first() -> None:
    """one that chooses by what it measures cannot come back with another size under a call."""
    async with supervised(OF_ONE_SIZE) as supervisor:
        await poll(lambda: supervisor.status.ready is not None)
        first = supervisor.status.pid
        assert first is not None and "--size" not in psutil.Process(first).cmdline()
        os.kill(first, signal.SIGKILL)
        await poll(lambda: supervisor.status.restarts > 0 and supervisor.status.ready is not None)
        second = supervisor.status.pid
        assert second is not None
        line = psutil.Process(second).cmdline()
        assert line[line.index("--size") + 1] == "32x16"


async def test_an_engine_of_several_sizes_chooses_anew_where_it_begins() -> None:
    """the next one has all of them, too: calls go on at theirs."""
    with ThreadPoolExecutor(1) as pool:
        supervisor = Supervisor(engine_command(ServerConfig(pipeline="echo")), pool)
        running = asyncio.create_task(supervisor.run())
        try:
            await poll(lambda: supervisor.status.ready is not None)
            first, ready = supervisor.status.pid, supervisor.status.ready
            assert first is not None and ready is not None
            os.kill(first, signal.SIGKILL)
            await poll(
                lambda: supervisor.status.restarts > 0 and supervisor.status.ready is not None
            )
            assert supervisor.status.ready is not None
            assert same_sizes(supervisor.status.ready, ready)
            assert len(ready.sizes) > 1
        finally:
            supervisor.stop()
            await running


async def test_an_engine_without_a_size_that_the_ladder_names_is_not_used() -> None:
    """the status says which it has, and no call is answered."""
    config = ServerConfig(pipeline="echo", ladder="1,1/100")
    with ThreadPoolExecutor(1) as pool:
        supervisor = Supervisor(engine_command(config), pool, config.ladder_settings.check)
        running = asyncio.create_task(supervisor.run())
        try:
            await poll(lambda: supervisor.status.state is EngineState.DOWN)
            assert supervisor.status.detail.startswith(
                "the engine does not fit the settings: ladder has levels of 100 px, which this "
                "model does not generate; name /480, /360"
            )
        finally:
            supervisor.stop()
            await running


async def test_an_engine_may_print_what_it_likes(caplog: pytest.LogCaptureFixture) -> None:
    """it never waits for the server to read it, and the log gets some hundred lines of it."""
    caplog.set_level("INFO", "slipstream_engine")
    script = OPENED + (
        "for number in range(50): print('x' * 200_000, end='', flush=True)\n"
        "for number in range(200_000): print('line', number)\n"
        "print(flush=True)\n"
        "channel.send(Loading(stage='all is printed')); channel.receive()"
    )
    async with supervised(script) as supervisor:
        await poll(lambda: supervisor.status.detail == "all is printed")
    lines = [one.getMessage() for one in caplog.records if one.name == "slipstream_engine"]
    assert 100 < len(lines) < 2000
    assert max(map(len, lines)) < 2100


async def test_a_program_that_an_engine_leaves_behind_holds_up_nothing() -> None:
    """though it has the engine's output open: the engine's end is noticed, and the next started."""
    script = OPENED + (
        "import subprocess; print(subprocess.Popen(['sleep', '30']).pid, flush=True); sys.exit(3)"
    )
    left_behind: list[int] = []
    async with supervised(script) as supervisor:
        try:
            reason = await down(supervisor)
            left_behind.append(int(reason.split()[-1].strip(";,.")))
        finally:
            for pid in left_behind:
                os.kill(pid, signal.SIGKILL)
    assert "the engine has ended with exit code 3" in reason

"""A media worker: a process that takes a share of the calls, for the front (`workers/front.py`).

It has the sessions, the sockets and the codecs of its calls. It takes them in on a Unix socket that
only the front knows, is told of the engine over its channel to the front, and ends when that
closes, however the front has ended.
"""

import argparse
import asyncio
import contextlib
import logging
import os
import signal
import socket
from collections.abc import Sequence
from pathlib import Path

from aiohttp import web
from slipstream_protocol.channel import AsyncChannel, ChannelClosed

from slipstream_server.app import LAST_REQUESTS_S, add_calls, pixel_pool
from slipstream_server.process import run_process, set_up_logging
from slipstream_server.sessions.registry import SessionRegistry
from slipstream_server.signaling.webrtc_api import BODY_MAX_BYTES, errors_as_json
from slipstream_server.workers.protocol import (
    Drain,
    EngineConnected,
    EngineDisconnected,
    EngineStatusChanged,
    StartWorker,
    StatusRequest,
    StreamSummary,
    ToWorker,
    WorkerStatus,
)
from slipstream_server.workers.remote_engine import RemoteEngine

logger = logging.getLogger(__name__)

_BEGIN_S = 30.0
_BACKLOG = 128

FrontChannel = AsyncChannel[ToWorker]


def worker_command(argv: Sequence[str]) -> int:
    """What the front starts; not for people."""
    parser = argparse.ArgumentParser(prog="slipstream worker")
    parser.add_argument("--channel-fd", type=int, required=True)
    run_process(work(parser.parse_args(argv).channel_fd))
    return 0


async def work(descriptor: int) -> None:
    """Take calls until the front says so or is gone, or a signal asks to end.

    Args:
        descriptor: of the channel to the front.
    """
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    trunk = FrontChannel(socket.socket(fileno=descriptor), ToWorker, other="the front")
    with contextlib.closing(trunk), contextlib.suppress(ChannelClosed):
        async with asyncio.timeout(_BEGIN_S):
            begin = await trunk.receive()
        assert isinstance(begin, StartWorker), "the front's first message says how to begin"
        set_up_logging(begin.config.log_level, who=f"worker {begin.index}")
        (listening,) = trunk.take_descriptors(1)
        with socket.socket(fileno=listening) as listener, pixel_pool() as pool:
            line = RemoteEngine(pool)
            app = web.Application(client_max_size=BODY_MAX_BYTES, middlewares=[errors_as_json])
            sessions = add_calls(app, begin.config, line, pool, id_prefix=begin.mark)
            runner = web.AppRunner(app, access_log=None, shutdown_timeout=LAST_REQUESTS_S)
            await runner.setup()
            try:
                await web.SockSite(runner, listener, backlog=_BACKLOG).start()
                if not await _serve(trunk, line, sessions, stop):
                    _sweep_after_front(Path(listener.getsockname()))
                    # without a goodbye, as from one process that is killed: a page that is told of
                    # an end rests, one that is not looks for the next server
                    os._exit(1)
            finally:
                await runner.cleanup()


def _sweep_after_front(path: Path) -> None:
    """Remove what a front that was killed has left: the last worker to go takes the folder."""
    with contextlib.suppress(OSError):  # another worker is not through yet, or was faster
        path.unlink(missing_ok=True)
        path.parent.rmdir()


def _census(sessions: SessionRegistry) -> WorkerStatus:
    calls = sessions.count()
    return WorkerStatus(
        streams=tuple(
            StreamSummary(name=stream.id, since_ns=stream.since_ns) for stream in sessions.streams()
        ),
        cameras=calls["stream"],
        viewers=calls["viewer"],
        held=calls["held"],
    )


async def _serve(
    trunk: FrontChannel, line: RemoteEngine, sessions: SessionRegistry, stop: asyncio.Event
) -> bool:
    """Until it is time to end; returns whether the front is still there."""
    trunk.send(_census(sessions))
    async with asyncio.TaskGroup() as tasks:
        hearing = tasks.create_task(_hear(trunk, line, sessions, tasks), name="hear the front")
        stopped = tasks.create_task(stop.wait(), name="wait for a signal")
        await asyncio.wait((hearing, stopped), return_when=asyncio.FIRST_COMPLETED)
        has_front = not hearing.done() or hearing.result()
        logger.info("stopping" if has_front else "the front is gone")
        hearing.cancel()
        stopped.cancel()
        if has_front:
            await sessions.close_all("the server is stopping")
        line.close()
    return has_front


async def _hear(
    trunk: FrontChannel, line: RemoteEngine, sessions: SessionRegistry, tasks: asyncio.TaskGroup
) -> bool:
    """Do what the front says, until it says to leave (True) or is gone (False)."""
    with contextlib.suppress(ChannelClosed):
        while not isinstance(message := await trunk.receive(), Drain):
            match message:
                case StatusRequest():
                    trunk.send(_census(sessions))
                case EngineStatusChanged():
                    line.update_status(message)
                case EngineConnected():
                    sock, memory = trunk.take_descriptors(2)
                    tasks.create_task(line.serve(message, sock, memory), name="engine line")
                case EngineDisconnected(reason=reason):
                    line.report_lost(reason)
        return True
    return False

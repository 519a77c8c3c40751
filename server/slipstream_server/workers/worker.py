"""A media worker: a process that takes a share of the calls, for the front (`workers/front.py`).

It has the sessions, the sockets and the codecs of its calls. Requests reach it from the front on a
Unix socket; its channel to the front carries the status of the engine, and the worker exits when
that channel closes, however the front has ended.
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
from slipstream_protocol.async_channel import AsyncChannel
from slipstream_protocol.channel import ChannelClosed

from slipstream_server.app import LAST_REQUESTS_S, add_calls, pixel_pool
from slipstream_server.control.events import SERVER_STOPS
from slipstream_server.http.bodies import BODY_MAX_BYTES, HTTP_OPTIONS
from slipstream_server.process import run_process, set_up_logging
from slipstream_server.sessions.registry import SessionRegistry
from slipstream_server.signaling.webrtc_api import errors_as_json
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

_START_S = 30.0
_BACKLOG = 128

FrontChannel = AsyncChannel[ToWorker]


def worker_command(argv: Sequence[str]) -> int:
    """`slipstream worker`: started by the front, not by people."""
    parser = argparse.ArgumentParser(prog="slipstream worker")
    parser.add_argument("--channel-fd", type=int, required=True)
    run_process(run_worker(parser.parse_args(argv).channel_fd))
    return 0


async def run_worker(descriptor: int) -> None:
    """Serve calls until the front sends `Drain` or is gone, or a signal asks to stop.

    Args:
        descriptor: of the channel to the front.
    """
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    channel = FrontChannel(socket.socket(fileno=descriptor), ToWorker, other="the front")
    with contextlib.closing(channel), contextlib.suppress(ChannelClosed):
        async with asyncio.timeout(_START_S):
            start = await channel.receive()
        assert isinstance(start, StartWorker), "it is the front's first message"
        set_up_logging(start.config.log_level, who=f"worker {start.index}")
        (listening,) = channel.take_descriptors(1)
        with socket.socket(fileno=listening) as listener, pixel_pool() as pool:
            engine = RemoteEngine(pool)
            app = web.Application(client_max_size=BODY_MAX_BYTES, middlewares=[errors_as_json])
            sessions = add_calls(app, start.config, engine, pool, id_prefix=start.id_prefix)
            runner = web.AppRunner(
                app, access_log=None, shutdown_timeout=LAST_REQUESTS_S, **HTTP_OPTIONS
            )
            await runner.setup()
            try:
                await web.SockSite(runner, listener, backlog=_BACKLOG).start()
                if not await _serve(channel, engine, sessions, stop):
                    _remove_sockets_of_front(Path(listener.getsockname()))
                    # exit without ending the calls, as if the only process was killed: a page that
                    # is notified of an end stops, one that is not looks for the next server
                    os._exit(1)
            finally:
                await runner.cleanup()


def _remove_sockets_of_front(path: Path) -> None:
    """Remove what a front that was killed has left; the last worker removes the folder."""
    with contextlib.suppress(OSError):  # another worker's socket is still there, or all is gone
        path.unlink(missing_ok=True)
        path.parent.rmdir()


def _status(sessions: SessionRegistry, *, answers: int = 0) -> WorkerStatus:
    calls = sessions.count()
    return WorkerStatus(
        answers=answers,
        streams=tuple(
            StreamSummary(name=stream.id, since_ns=stream.since_ns) for stream in sessions.streams()
        ),
        publishers=calls.publishers,
        subscribers=calls.subscribers,
        held=calls.held,
    )


async def _serve(
    channel: FrontChannel, engine: RemoteEngine, sessions: SessionRegistry, stop: asyncio.Event
) -> bool:
    """Serve until it is time to exit; returns whether the front is still there."""
    channel.send(_status(sessions))
    async with asyncio.TaskGroup() as tasks:
        receiving = tasks.create_task(
            _receive(channel, engine, sessions, tasks), name="receive from the front"
        )
        stopped = tasks.create_task(stop.wait(), name="wait for a signal")
        await asyncio.wait((receiving, stopped), return_when=asyncio.FIRST_COMPLETED)
        has_front = not receiving.done() or receiving.result()
        logger.info("stopping" if has_front else "the front is gone")
        receiving.cancel()
        stopped.cancel()
        if has_front:
            await sessions.close_all(SERVER_STOPS)
        engine.close()
    return has_front


async def _receive(
    channel: FrontChannel,
    engine: RemoteEngine,
    sessions: SessionRegistry,
    tasks: asyncio.TaskGroup,
) -> bool:
    """Handle the front's messages until it sends `Drain` (True) or is gone (False)."""
    with contextlib.suppress(ChannelClosed):
        while not isinstance(message := await channel.receive(), Drain):
            match message:
                case StatusRequest(number=number):
                    channel.send(_status(sessions, answers=number))
                case EngineStatusChanged():
                    engine.update_status(message)
                case EngineConnected():
                    sock, memory = channel.take_descriptors(2)
                    tasks.create_task(engine.serve(message, sock, memory), name="engine channel")
                case EngineDisconnected(reason=reason):
                    engine.report_lost(reason)
        return True
    return False

"""The whole server in front of an engine that only takes time; see `stub_engine.py`.

python -m tests.bench.stub_server [--size WxH] [--chunk-ms MS] [--jitter-ms MS] PORT
"""

import argparse
import asyncio
import contextlib
import signal
import sys

from aiohttp import web
from slipstream_server.app import make_app, pixel_pool
from slipstream_server.config import ServerConfig
from slipstream_server.engine.supervisor import Supervisor
from slipstream_server.http.static import web_root
from slipstream_server.logs.set_up import logging_to_stderr
from slipstream_server.process import run_process


async def serve(config: ServerConfig, command: tuple[str, ...]) -> None:
    """Serve until the process receives SIGINT or SIGTERM.

    Args:
        command: starts the engine.
    """
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    with pixel_pool() as pool:
        supervisor = Supervisor(command, pool)
        running = asyncio.create_task(supervisor.run(), name="supervisor")
        runner = web.AppRunner(make_app(config, supervisor, pool, page=web_root()))
        await runner.setup()
        try:
            await web.TCPSite(runner, config.host, config.port).start()
            await stop.wait()
        finally:
            await runner.cleanup()
            supervisor.stop()
            with contextlib.suppress(asyncio.CancelledError):
                await running


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.stub_server", description=__doc__)
    parser.add_argument("port", type=int)
    parser.add_argument("--size", default="640x480", help="WIDTHxHEIGHT")
    parser.add_argument("--chunk-ms", type=float, default=250.0, help="mean")
    parser.add_argument("--jitter-ms", type=float, default=0.0, help="standard deviation")
    arguments = parser.parse_args()
    command = (
        *(sys.executable, "-m", "tests.bench.stub_engine", "--size", arguments.size),
        *("--chunk-ms", str(arguments.chunk_ms), "--jitter-ms", str(arguments.jitter_ms)),
    )
    config = ServerConfig(port=arguments.port, pipeline="stub", max_streams=1)
    with logging_to_stderr(config.log_level, form=config.log_format, session_id=lambda: "-"):
        run_process(serve(config, command))


if __name__ == "__main__":
    main()

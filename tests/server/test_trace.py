"""`slipstream trace` as people run it: a file of a live stream's frames, for the admin alone."""

import asyncio
import json
import sys
from pathlib import Path
from urllib.parse import urlsplit

from aiohttp import ClientSession

from tests.server.calls import Camera, dial
from tests.server.command import health, slipstream

TOKEN = "a-token-of-enough-length"


async def run_trace(*flags: str, token: str = TOKEN) -> tuple[int | None, bytes, str]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "slipstream_server", "trace", "--token", token, *flags),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(60):
        out, err = await process.communicate()
    return process.returncode, out, err.decode()


async def test_a_live_stream_is_traced(tmp_path: Path) -> None:
    """with every stage of its frames; a viewer's token, a stream that is not there and a time that
    is too long are refused, with the reason."""
    headers = {"Authorization": f"Bearer {TOKEN}"}
    async with slipstream("--token", TOKEN) as (_, link):
        address = link.partition("?")[0]
        await health(address)
        port = ("--port", str(urlsplit(address).port))
        async with (
            ClientSession(address, headers=headers) as http,
            dial(http, camera=Camera(fps=10, width_px=320, height_px=240)) as call,
        ):
            await call.until_frames(1)
            stream = ("--stream", call.stream)
            assert call.view_token is not None
            traced, refused, unknown, too_long = await asyncio.gather(
                run_trace(*port, *stream, "--seconds", "2"),
                run_trace(*port, *stream, "--seconds", "2", token=call.view_token),
                run_trace(*port, "--stream", "nobody", "--seconds", "2"),
                run_trace(*port, *stream, "--seconds", "100"),
            )
    code, out, err = traced
    assert code == 0, err
    names = {event["name"] for event in json.loads(out)["traceEvents"]}
    assert {"receive", "chunk", "queue", "engine", "playout", "send", "age"} <= names
    for (status, nothing, told), reason in (
        (refused, "403"),
        (unknown, "404"),
        (too_long, "at most 60"),
    ):
        assert (status, nothing) == (1, b"")
        assert reason in told

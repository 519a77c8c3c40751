"""A server under test in this process, with a real engine process behind it."""

import asyncio
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiohttp.test_utils import TestClient, TestServer
from slipstream_server.app import SESSIONS, make_app, running_engine
from slipstream_server.config import ServerConfig
from slipstream_server.engine.supervisor import Supervisor
from slipstream_server.engine_status import EngineState
from slipstream_server.http.bodies import HTTP_OPTIONS
from slipstream_server.sessions.registry import SessionRegistry

STEP_S = 0.01
DEADLINE_S = 20.0
START_S = 120.0  # a real engine loads torch, and measures this machine


@dataclass(frozen=True, kw_only=True)
class Serving:
    """A running server, a client of it, and its parts.

    Args:
        client: of its HTTP.
    """

    client: TestClient[Any, Any]
    supervisor: Supervisor
    sessions: SessionRegistry


async def poll(holds: Callable[[], bool], deadline_s: float = DEADLINE_S) -> None:
    """Wait until `holds`, for a state that no event reports."""
    for _ in range(round(deadline_s / STEP_S)):
        if holds():
            return
        await asyncio.sleep(STEP_S)
    raise AssertionError(f"it has not become so within {deadline_s:g} s")


def own_tasks() -> set[str]:
    """Names of all tasks but those that hold an HTTP connection open."""
    return {
        task.get_name()
        for task in asyncio.all_tasks()
        if "RequestHandler" not in repr(task.get_coro())
    }


@asynccontextmanager
async def serving(
    page: Path, *, ready: bool = True, resume_key: bytes | None = None, **settings: Any
) -> AsyncIterator[Serving]:
    """A whole server; its engine is `echo` unless `settings` say otherwise."""
    # the callers' codecs run in this process, too, and would be counted as the server's
    defaults: dict[str, Any] = {"pipeline": "echo", "max_cpu_share": 0}
    config = ServerConfig(**(defaults | settings))
    for name in ("index.html", "view.html", "studio/main.js"):
        (page / name).parent.mkdir(exist_ok=True)
        (page / name).write_text(f"this is {name}")
    with ThreadPoolExecutor(2) as pool:
        async with running_engine(config, pool) as supervisor:
            app = make_app(config, supervisor, pool, page=page, resume_key=resume_key)
            server = TestServer(app)
            await server.start_server(**HTTP_OPTIONS)
            async with TestClient(server) as client:
                if ready:
                    await poll(lambda: supervisor.status.state is EngineState.READY, START_S)
                yield Serving(client=client, supervisor=supervisor, sessions=app[SESSIONS])

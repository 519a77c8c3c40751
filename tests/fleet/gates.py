"""A gate before servers of this process, without Ray."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import uvicorn
from slipstream_fleet.asgi import gate_app
from slipstream_fleet.node_table import NodeAddress
from slipstream_server.sessions.registry import SessionRegistry
from slipstream_server.web_addressing import WebAddressing

from tests.server.serving import serving

KEY = b"a key of all nodes of the tests"
_STEP_S = 0.01


class ListedNodes:
    """Nodes that somebody else runs; `drained` are those that were asked to move their calls, and
    `waiting` is what they were told of the line."""

    def __init__(self, nodes: Sequence[NodeAddress]) -> None:
        self.nodes = list(nodes)
        self.drained: list[tuple[str, bool]] = []
        self.waiting = 0

    async def addresses(self, *, waiting: int) -> list[NodeAddress]:
        self.waiting = waiting
        return list(self.nodes)

    async def drain(self, name: str, *, restart: bool) -> bool:
        if all(node.name != name for node in self.nodes):
            return False
        self.drained.append((name, restart))
        return True


def node_at(name: str, url: str) -> NodeAddress:
    return NodeAddress(name=name, url=url.rstrip("/"), host="here")


@asynccontextmanager
async def node(page: Path, name: str, **settings: Any) -> AsyncIterator[NodeAddress]:
    """A server with the settings of a node."""
    async with serving_node(page, name, **settings) as (address, _):
        yield address


@asynccontextmanager
async def serving_node(
    page: Path, name: str, **settings: Any
) -> AsyncIterator[tuple[NodeAddress, SessionRegistry]]:
    """The same, with its sessions."""
    await asyncio.to_thread(page.mkdir, exist_ok=True)
    own: dict[str, Any] = {"hand_over": True, "max_waiting": 0}
    async with serving(page, resume_key=KEY, **(own | settings)) as running:
        yield node_at(name, str(running.client.make_url(""))), running.sessions


@asynccontextmanager
async def running_gate(
    nodes: Sequence[NodeAddress] | ListedNodes,
    *,
    token: str = "",
    addressing: WebAddressing | None = None,
    max_waiting: int = 256,
) -> AsyncIterator[str]:
    """A gate that knows the nodes; its address, without a slash at the end."""
    control = nodes if isinstance(nodes, ListedNodes) else ListedNodes(nodes)
    app = gate_app(
        control, token=token, addressing=addressing or WebAddressing(), max_waiting=max_waiting
    )
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, lifespan="on"))
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as listener:
        running = asyncio.create_task(server.serve(sockets=[listener]), name="gate")
        try:
            while not server.started:
                assert not running.done(), "the gate has ended before it listened"
                await asyncio.sleep(_STEP_S)
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            await running

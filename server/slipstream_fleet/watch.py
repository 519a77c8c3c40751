"""Looks after the nodes: who belongs to the fleet, and what each reports."""

import asyncio
import logging
from collections.abc import Callable
from typing import Protocol

from slipstream_protocol.clock import now_ns

from slipstream_fleet.node_client import NodeClient, NodeUnreachable
from slipstream_fleet.node_table import NodeAddress, NodeState, NodeTable
from slipstream_fleet.placement import NodePlaces

logger = logging.getLogger(__name__)

LIST_EVERY_S = 1.0
REPORT_EVERY_S = 0.5


class FleetControl(Protocol):
    """What runs the nodes, as far as the gate needs it."""

    async def addresses(self, *, waiting: int) -> list[NodeAddress]:
        """The nodes now.

        Args:
            waiting: callers in the gate's line, which nodes are told for the fleet's scaling.
        """
        ...

    async def drain(self, name: str, *, restart: bool) -> bool:
        """Have a node move its calls to others and stay away, or start anew; returns whether there
        is such a node."""
        ...


class FleetWatch:
    """Asks again and again, and keeps the answers.

    Args:
        control: knows the nodes.
        client: asks them.

    Attributes:
        count_waiting: counts the callers in the line.
        table: the nodes' last reports.
        placement: their free places.
        lost_total: how often a node was lost.
    """

    def __init__(self, control: FleetControl, client: NodeClient) -> None:
        self.count_waiting: Callable[[], int] = lambda: 0
        self.table = NodeTable()
        self.placement = NodePlaces()
        self.lost_total = 0
        self._control = control
        self._client = client
        self._problem = "no node has been started"
        self._versions: frozenset[str] = frozenset()

    def why_none(self) -> str:
        """Why there is no node, or none that takes calls, for people."""
        states = [
            f"{node.address.name}: {node.report.health.engine_detail or node.report.health.status}"
            for node in self.table
            if node.report is not None
        ]
        return "; ".join(states) or self._problem

    async def look(self) -> None:
        """Ask once for everything."""
        await self._list()
        await asyncio.gather(*(self.look_at(node) for node in self.table))

    async def look_at(self, node: NodeState) -> None:
        """Ask one node for its report."""
        name, asked_ns = node.address.name, now_ns()
        try:
            report = await self._client.report(node.address.url)
        except NodeUnreachable as error:
            self.missed(node, error)
            return
        self.table.report(name, report, asked_ns=asked_ns)
        free = report.free_streams if node.is_listed else 0
        self.placement.report(name, free=free, asked_ns=asked_ns)
        self._note_versions()

    async def run(self) -> None:
        """Ask until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._keep_listing(), name="list nodes")
            group.create_task(self._keep_reporting(), name="reports")

    def missed(self, node: NodeState, error: NodeUnreachable) -> None:
        """A node has not answered a request."""
        name = node.address.name
        is_lost = self.table.missed(name, now_ns(), is_refused=error.is_refused)
        if is_lost:
            self.lost_total += 1
            self.placement.forget(name)
            logger.warning("node %s is lost: %s", name, error)
        self._problem = str(error)

    async def _keep_listing(self) -> None:
        while True:
            await asyncio.sleep(LIST_EVERY_S)
            await self._list()

    async def _keep_reporting(self) -> None:
        """One request to each node at a time: one that is slow keeps no other waiting."""
        pending: dict[str, asyncio.Task[None]] = {}
        try:
            while True:
                for node in self.table:
                    name = node.address.name
                    if name not in pending or pending[name].done():
                        pending[name] = asyncio.create_task(
                            self.look_at(node), name=f"report {name}"
                        )
                await asyncio.sleep(REPORT_EVERY_S)
        finally:
            for task in pending.values():
                task.cancel()
            await asyncio.gather(*pending.values(), return_exceptions=True)

    async def _list(self) -> None:
        try:
            found = await self._control.addresses(waiting=self.count_waiting())
        except Exception as error:  # whatever the cluster has; the nodes known so far go on
            problem = f"the nodes cannot be listed: {error}"
            if problem != self._problem:
                logger.warning("%s", problem)
            self._problem = problem
            return
        self.table.update(found)

    def _note_versions(self) -> None:
        versions = frozenset(
            node.report.health.version for node in self.table if node.report is not None
        )
        if versions != self._versions and len(versions) > 1:
            logger.warning("nodes of several versions run: %s", ", ".join(sorted(versions)))
        self._versions = versions

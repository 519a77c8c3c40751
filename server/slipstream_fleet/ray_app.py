"""The fleet on Ray Serve: a deployment of nodes, and the gate before it.

Ray carries control only: it starts, counts and replaces the replicas of `Node`, each of which is
one whole server in a process of its own, and runs the gate, to which Serve's HTTP proxy sends
every request. `serve_application` is the import path of a Serve config.
"""

import asyncio
import contextlib
import math
import os
import time
from collections.abc import Mapping
from typing import Any

import ray
from ray import serve
from ray.serve.config import AutoscalingConfig, AutoscalingContext, AutoscalingPolicy
from ray.serve.handle import DeploymentHandle
from slipstream_protocol.clock import NS_PER_S, now_ns
from slipstream_server.config import ServerConfig
from slipstream_server.config_sources import read_config
from slipstream_server.signaling.node_api import NodeReport

from slipstream_fleet.asgi import gate_app
from slipstream_fleet.fleet_config import FleetConfig, read_fleet_config
from slipstream_fleet.node_client import NodeClient, NodeUnreachable
from slipstream_fleet.node_process import NodeFailed, NodeProcess
from slipstream_fleet.node_table import NodeAddress
from slipstream_fleet.scaling import NodeLoad, ScaleDecision, ScalingRule

APP = "slipstream"
NODES = "Node"
_MISSES_MAX = 3  # reports in a row that a server may fail to give in time
_HEALTH_EVERY_S = 1.0
_BEYOND_DRAIN_S = 30.0  # a replica may take for its end beside the drain
_BROADCAST_S = 5.0
# names of Serve's metrics
_LOADS = {
    "streams": "slipstream_streams",
    "free": "slipstream_free",
    "waiting": "slipstream_waiting",
}


class Node:
    """One replica: a server, for as long as it is healthy.

    Args:
        config: of the fleet.
    """

    async def __init__(self, config: FleetConfig) -> None:  # type: ignore[misc]  # Serve awaits it
        self._config = config
        context = serve.get_replica_context()
        self._name = str(context.replica_id.unique_id)
        settings = read_config(config.server, os.environ)
        self._host = _node_host(settings)
        self._client = await NodeClient(settings.token).__aenter__()
        self._last: NodeReport | None = None
        self._misses = 0
        self._waiting = 0
        self._began_ns = now_ns()
        self._is_drained = False
        self._changing = asyncio.Lock()
        self._server: NodeProcess | None = await self._start()

    async def describe(self, *, waiting: int | None = None) -> NodeAddress:
        """Where its server is; a drained node has none.

        Args:
            waiting: callers without a place, which scaling is to know of.
        """
        if waiting is not None:
            self._waiting = waiting
        url = self._server.url if self._server is not None else ""
        return NodeAddress(name=self._name, url=url, host=_machine())

    async def record_replica_metadata(self) -> dict[str, Any]:
        """For Serve's own views of the replica."""
        address = await self.describe()
        return {"node": address.name, "url": address.url, "host": address.host}

    async def record_routing_stats(self) -> dict[str, Any]:
        """Its free places, as the gate sees them."""
        report = self._last
        return {} if report is None else {"free_streams": report.free_streams}

    def record_autoscaling_stats(self) -> dict[str, float]:
        """What `HeadroomPolicy` counts."""
        report = self._last
        is_counted = report is not None and report.health.ready
        return {
            _LOADS["streams"]: float(len(report.streams)) if report and is_counted else 0.0,
            _LOADS["free"]: float(report.free_streams) if report and is_counted else 0.0,
            _LOADS["waiting"]: float(self._waiting),
        }

    async def check_health(self) -> None:
        """The engine's own heartbeat, by way of its server.

        Raises:
            NodeFailed: if the server is gone, does not answer, or has never got ready.
        """
        if self._is_drained:
            return
        if self._server is None or not self._server.is_running:
            raise NodeFailed("the node's server has ended; its reason stands in the log")
        try:
            self._last = await self._client.report(self._server.url)
            self._misses = 0
        except NodeUnreachable as error:
            self._misses += 1
            if self._misses >= _MISSES_MAX:
                raise NodeFailed(f"the node's server is silent: {error}") from error
            return
        health = self._last.health
        if health.ready:
            self._began_ns = 0
        waited_s = (now_ns() - self._began_ns) / NS_PER_S if self._began_ns else 0.0
        if health.engine_state == "stopped" or waited_s > self._config.start_s:
            raise NodeFailed(
                f"the node's engine is not ready after {waited_s:.0f} s ({health.engine_detail}); "
                "it is started anew"
            )

    async def drain(self, name: str, *, restart: bool) -> bool:
        """Where it is meant, move the calls to other nodes; returns whether it is.

        Args:
            restart: whether a new server is started afterwards.
        """
        if name != self._name:
            return False
        self._is_drained = True
        self._draining = asyncio.create_task(self._drain(restart=restart), name="drain")
        return True

    async def _drain(self, *, restart: bool) -> None:
        async with self._changing:
            if self._server is not None:
                await self._server.stop()
            self._server = self._last = None
            if restart:
                self._server = await self._start()
                self._began_ns, self._is_drained = now_ns(), False

    async def __del__(self) -> None:
        """Called by Serve when the replica is to end."""
        if getattr(self, "_server", None) is not None:
            assert self._server is not None, "it was looked at just now"
            await self._server.stop()
        if hasattr(self, "_client"):
            await self._client.__aexit__()

    async def _start(self) -> NodeProcess:
        return await NodeProcess.start(
            [*self._config.server, "--trusted-proxies", _cluster_addresses()],
            host=self._host,
            first_port=self._config.first_port,
            drain_s=self._config.drain_s,
            environment=os.environ,
        )


class _ServeControl:
    """The nodes by way of their Serve handle."""

    def __init__(self, handle: DeploymentHandle[Any]) -> None:
        self._handle = handle

    async def addresses(self, *, waiting: int) -> list[NodeAddress]:
        answers = await self._handle.broadcast("describe", waiting=waiting).results_async(
            timeout_s=_BROADCAST_S, return_exceptions=True
        )
        return [one for one in answers if isinstance(one, NodeAddress) and one.url]

    async def drain(self, name: str, *, restart: bool) -> bool:
        answers = await self._handle.broadcast("drain", name, restart=restart).results_async(
            timeout_s=_BROADCAST_S, return_exceptions=True
        )
        return any(answer is True for answer in answers)


class HeadroomPolicy:
    """Serve's autoscaling by free places.

    Args:
        least, most, spare, down_delay_s: see `ScalingRule`.
    """

    def __init__(self, least: int, most: int, spare: int, down_delay_s: float) -> None:
        self._decision = ScaleDecision(
            ScalingRule(least=least, most=most, spare=spare, down_delay_s=down_delay_s)
        )

    def __call__(self, context: AutoscalingContext) -> tuple[int, dict[str, Any]]:
        """The number of replicas to have."""
        metrics: Mapping[str, Mapping[Any, float]] = context.aggregated_metrics or {}
        streams, free, waiting = (metrics.get(name, {}) for name in _LOADS.values())
        loads = [
            NodeLoad(streams=round(streams[one]), free=round(free.get(one, 0)))
            for one in streams
            if streams[one] or free.get(one, 0)
        ]
        target = self._decision.target(
            loads,
            now=context.target_num_replicas,
            now_s=time.monotonic(),
            waiting=math.ceil(max(waiting.values(), default=0)),  # each was told the same line
        )
        return target, {}


def serve_application(args: Mapping[str, Any]) -> serve.Application:
    """The application of a Serve config's `args`, which are those of `FleetConfig`.

    Raises:
        ConfigError: if they are not allowed.
    """
    return fleet_application(read_fleet_config(dict(args)))


def fleet_application(config: FleetConfig) -> serve.Application:
    """Nodes, and the gate before them."""
    scaling = config.scaling
    replicas: dict[str, Any] = {"num_replicas": config.nodes}
    if scaling is not None:
        policy = AutoscalingPolicy(
            policy_function="slipstream_fleet.ray_app:HeadroomPolicy",
            policy_kwargs={
                "least": scaling.least,
                "most": scaling.most,
                "spare": scaling.spare,
                "down_delay_s": scaling.down_delay_s,
            },
        )
        replicas = {
            "autoscaling_config": AutoscalingConfig(
                min_replicas=scaling.least,
                max_replicas=scaling.most,
                initial_replicas=config.nodes,
                upscale_delay_s=0,
                downscale_delay_s=0,  # the policy has its own
                policy=policy,
            )
        }
    node = serve.deployment(
        name=NODES,
        **replicas,
        max_ongoing_requests=64,
        ray_actor_options={"num_cpus": config.cpus_per_node, "num_gpus": config.gpus_per_node},
        health_check_period_s=_HEALTH_EVERY_S,
        health_check_timeout_s=5,
        graceful_shutdown_wait_loop_s=0.1,
        graceful_shutdown_timeout_s=config.drain_s + _BEYOND_DRAIN_S,
    )(Node)
    gate = serve.deployment(
        name="Gate",
        num_replicas=1,
        max_ongoing_requests=1024,
        ray_actor_options={"num_cpus": 0.1},
        health_check_period_s=_HEALTH_EVERY_S,
        graceful_shutdown_timeout_s=2,
    )(_gate_class(config))
    application: serve.Application = gate.bind(node.bind(config))
    return application


def _gate_class(config: FleetConfig) -> type:
    def make() -> Any:
        settings = read_config(config.server, os.environ)
        control = _ServeControl(serve.get_deployment_handle(NODES, APP))
        return gate_app(
            control,
            token=settings.token,
            addressing=settings.web_addressing,
            max_waiting=config.max_waiting,
        )

    @serve.ingress(make)
    class Gate:
        """Serve's HTTP proxy sends every request here."""

        def __init__(self, nodes: DeploymentHandle[Any]) -> None:
            """`nodes` makes Serve start them first."""

    return Gate


def _node_host(settings: ServerConfig) -> str:
    """Where a node's server listens: the machine's address in the cluster where there is a token,
    else a loopback one, which only a gate on the same machine reaches."""
    return _machine() if settings.token else "127.0.0.1"


def _machine() -> str:
    return str(ray.util.get_node_ip_address())


def _cluster_addresses() -> str:
    """The addresses of the cluster's machines, on any of which the gate may run."""
    own = os.environ.get("SLIPSTREAM_TRUSTED_PROXIES")
    if own:
        return own
    with contextlib.suppress(Exception):  # a cluster that does not say: the loopback is left
        found = {str(node["NodeManagerAddress"]) for node in ray.nodes() if node["Alive"]}
        return ",".join(["127.0.0.0/8", "::1", *sorted(found)])
    return "127.0.0.0/8,::1"

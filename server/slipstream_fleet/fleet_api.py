"""What the gate answers of its own: the fleet's health, its nodes, its metrics.

    GET   /health, /ready                         as one server's, over all nodes
    GET   /metrics                                of the gate
    GET   /api/v1/fleet                           the nodes
    GET   /api/v1/fleet/targets                   their addresses, for Prometheus (http_sd_configs)
    POST  /api/v1/fleet/nodes/{node}/drain[?restart=true]   move its calls to others

All but the first two need the fleet's token.
"""

from urllib.parse import parse_qs, urlsplit

import msgspec
from slipstream_protocol.clock import NS_PER_S, now_ns
from slipstream_server.errors import Unauthorized, UnknownSession
from slipstream_server.http.health import Health

from slipstream_fleet.answers import JSON_HEADERS
from slipstream_fleet.fleet_metrics import FleetMetrics
from slipstream_fleet.fleet_report import FleetReport, NodeEntry
from slipstream_fleet.node_client import HttpAnswer
from slipstream_fleet.node_table import NodeState
from slipstream_fleet.watch import FleetControl, FleetWatch

_UNAVAILABLE, _NO_CONTENT = 503, 204


class FleetApi:
    """The handlers.

    Args:
        watch: what is known of the nodes.
        control: drains them.

    Attributes:
        metrics: of the gate.
    """

    def __init__(self, watch: FleetWatch, control: FleetControl) -> None:
        self.metrics = FleetMetrics(self.report)
        self._watch = watch
        self._control = control
        self._began_ns = now_ns()

    async def answer(self, method: str, path: str, query: str, *, is_admin: bool) -> HttpAnswer:
        """The answer to a request for one of these paths.

        Raises:
            Unauthorized, UnknownSession: if there is none.
        """
        match (method, path.strip("/").split("/")):
            case ("GET" | "HEAD", ["health"]):
                return _json(self.health())
            case ("GET" | "HEAD", ["ready"]):
                return self._ready()
            case _ if not is_admin:
                raise Unauthorized("this needs the fleet's token; send it")
            case ("GET", ["metrics"]):
                return self.metrics.exposition()
            case ("GET", ["api", "v1", "fleet"]):
                return _json(self.report())
            case ("GET", ["api", "v1", "fleet", "targets"]):
                return _json([_target(node) for node in self._watch.table])
            case ("POST", ["api", "v1", "fleet", "nodes", name, "drain"]):
                restart = parse_qs(query).get("restart", [""])[0] == "true"
                if await self._control.drain(name, restart=restart):
                    return HttpAnswer(status=202, headers=JSON_HEADERS, body=b"{}")
                raise UnknownSession(
                    f"there is no node {name[:80]!r}; see `slipstream fleet status`"
                )
        raise UnknownSession(f"there is nothing at {path[:80]}")

    def report(self) -> FleetReport:
        """The fleet now."""
        now = now_ns()
        nodes = tuple(self._entry(node, now) for node in self._watch.table)
        return FleetReport(
            nodes=nodes,
            streams=sum(one.streams for one in nodes),
            free=self._watch.placement.total_free(now),
            waiting=self._watch.count_waiting(),
            versions=tuple(sorted({one.version for one in nodes if one.version})),
            lost_total=self._watch.lost_total,
        )

    def health(self) -> Health:
        """The fleet's health in the form of one server's: a page cannot tell them apart."""
        known = [node.report.health for node in self._watch.table if node.report is not None]
        ready = [one for one in known if one.ready]
        first = next(iter(ready or known), None)
        return Health(
            status="ok" if ready else "degraded",
            version=first.version if first else "",
            uptime_s=round((now_ns() - self._began_ns) / NS_PER_S, 1),
            ready=bool(ready),
            engine_state="ready" if ready else first.engine_state if first else "starting",
            engine_detail=first.engine_detail if first else self._watch.why_none(),
            engine_pid=None,
            engine_restarts=sum(one.engine_restarts for one in known),
            pipeline=first.pipeline if first else "",
            preset=first.preset if first else "",
            sessions=sum(one.sessions for one in known),
            viewers=sum(one.viewers for one in known),
            held=sum(one.held for one in known),
            waiting=self._watch.count_waiting(),
            max_streams=sum(one.max_streams for one in known),
            model=first.model if first else None,
            slo={},
        )

    def _ready(self) -> HttpAnswer:
        if any(node.takes_calls for node in self._watch.table):
            return HttpAnswer(status=_NO_CONTENT)
        body = msgspec.json.encode({"error": f"no node takes calls: {self._watch.why_none()}"})
        headers = [*JSON_HEADERS, ("Retry-After", "3")]
        return HttpAnswer(status=_UNAVAILABLE, headers=headers, body=body)

    def _entry(self, node: NodeState, now: int) -> NodeEntry:
        report, address = node.report, node.address
        health = report.health if report is not None else None
        state = "away"
        if health is not None:
            state = "stopping" if health.status == "stopping" else health.engine_state
        return NodeEntry(
            node=address.name,
            host=address.host,
            url=address.url,
            state=state,
            detail=health.engine_detail if health and not health.ready else "",
            version=health.version if health else "",
            model=f"{health.pipeline} {health.preset}" if health else "",
            streams=len(report.streams) if report else 0,
            held=health.held if health else 0,
            viewers=health.viewers if health else 0,
            free=self._watch.placement.free(address.name, now),
            seen_s=round((now - node.asked_ns) / NS_PER_S, 1) if report else None,
        )


def _target(node: NodeState) -> dict[str, object]:
    """In the form of Prometheus' HTTP service discovery."""
    labels = {"node": node.address.name, "host": node.address.host}
    return {"targets": [urlsplit(node.address.url).netloc], "labels": labels}


def _json(content: object) -> HttpAnswer:
    return HttpAnswer(status=200, headers=JSON_HEADERS, body=msgspec.json.encode(content))

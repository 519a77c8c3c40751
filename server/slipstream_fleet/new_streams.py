"""New streams begin where there is room: each offer gets a node with a free place, in turn."""

import msgspec
from slipstream_protocol.clock import NS_PER_S, now_ns
from slipstream_server.errors import EngineUnavailable, ServerFull, Unavailable
from slipstream_server.sessions.turns import PlaceRequest, Turns

from slipstream_fleet.fleet_metrics import FleetMetrics
from slipstream_fleet.forwarding import header_value
from slipstream_fleet.gate_request import GateRequest
from slipstream_fleet.node_client import HttpAnswer, NodeUnreachable
from slipstream_fleet.passing_on import PassingOn
from slipstream_fleet.placement import Reservation
from slipstream_fleet.watch import FleetWatch

_RETRY_S = 3.0
_CLOSED_MAX_S = 10.0  # a node that had room by its report and none by its answer
_UNAVAILABLE = 503


class NewStreams:
    """Finds a place for each.

    Args:
        watch: what is known of the nodes.
        nodes: passes the offers on.
        metrics: counts where they went.
        max_waiting: callers who may wait in the line.
    """

    def __init__(
        self, watch: FleetWatch, nodes: PassingOn, metrics: FleetMetrics, *, max_waiting: int
    ) -> None:
        self._watch = watch
        self._nodes = nodes
        self._metrics = metrics
        self._turns = Turns(places=max_waiting, clock=now_ns)

    def count_waiting(self) -> int:
        """Callers in the line."""
        return self._turns.count()

    async def place(self, request: GateRequest, place: PlaceRequest) -> HttpAnswer:
        """Begin a stream where there is room, in turn.

        Raises:
            Unavailable: if there is none; Queued if the caller waits.
        """
        began_ns = now_ns()
        with self._turns.turn(place, request.counted_under):
            answer = await self._placed(request)
        self._metrics.placed(answer.status, (now_ns() - began_ns) / NS_PER_S)
        return answer

    async def _placed(self, request: GateRequest) -> HttpAnswer:
        placement, refused = self._watch.placement, dict[str, str]()
        while True:
            kept = placement.reserve(now_ns(), but=refused)
            if kept is None:
                raise self._full(refused)
            node = self._watch.table.get(kept.node)
            try:
                if node is None:
                    refused[kept.node] = "it has left"
                    continue
                answer = await self._nodes.to_node(request, node)
                if answer.status != _UNAVAILABLE:
                    self._settle(kept, answer)
                    return answer
                refused[kept.node] = _reason(answer)
                retry_s = min(_CLOSED_MAX_S, _retry_after_s(answer))
                placement.close(kept.node, until_ns=now_ns() + round(retry_s * NS_PER_S))
            except NodeUnreachable as error:
                refused[kept.node] = str(error)
                if node is not None:
                    self._watch.missed(node, error)
            finally:
                placement.give_back(kept)

    def _settle(self, kept: Reservation, answer: HttpAnswer) -> None:
        if answer.status < 300:
            self._watch.placement.answered(kept, now_ns())

    def _full(self, refused: dict[str, str]) -> Unavailable:
        if not any(node.takes_calls for node in self._watch.table):
            return EngineUnavailable(
                f"no node of the fleet takes calls now ({self._watch.why_none()}); try again in a "
                "moment",
                retry_after_s=_RETRY_S,
            )
        why = "; ".join(refused.values())
        return ServerFull(
            why or "all places of the fleet are in use; wait until one is free, or add a node",
            retry_after_s=_RETRY_S,
        )


def _reason(answer: HttpAnswer) -> str:
    try:
        return str(msgspec.json.decode(answer.body)["error"])
    except (msgspec.MsgspecError, KeyError, TypeError):
        return "a node refuses the call"


def _retry_after_s(answer: HttpAnswer) -> float:
    text = header_value(answer.headers, "Retry-After")
    return float(text) if text.isdecimal() else _RETRY_S

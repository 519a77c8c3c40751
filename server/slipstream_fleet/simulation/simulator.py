"""The events of a simulated fleet, one after the other. Pure."""

import heapq
import math
from bisect import bisect_left
from collections import defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from slipstream_fleet.scaling import NodeLoad
from slipstream_fleet.simulation.fleet_run import FleetRun, percentile
from slipstream_fleet.simulation.policies import (
    PLACEMENTS,
    RATE_WINDOW_S,
    SCALINGS,
    FleetView,
    Moves,
)
from slipstream_fleet.simulation.scenario import FleetScenario, SimulatedCall, draw_calls, life_s

_S_PER_H = 3600.0


@dataclass(slots=True, eq=False)
class _Call:
    """A caller with a stream, or in the line.

    Args:
        left_s: for how long it wants a stream still, when it was placed or lost its place.
        since_s: when that was.
        turn: counts placings and losses, so that events of an earlier one are known as such.
        was_served: whether it has had a stream.
    """

    left_s: float
    since_s: float
    turn: int = 0
    was_served: bool = False
    node: "_Node | None" = None


@dataclass(slots=True, eq=False)
class _Node:
    number: int
    began_s: float
    is_ready: bool = False
    is_leaving: bool = False
    calls: list[_Call] = field(default_factory=list)
    changed_s: float = 0.0


def simulate_fleet(scenario: FleetScenario, *, placement: str, scaling: str) -> FleetRun:
    """What comes of a scenario.

    Args:
        placement: a name in `PLACEMENTS`.
        scaling: a name in `SCALINGS`.

    Raises:
        KeyError: if there is no such policy.
    """
    return _Simulation(scenario, placement, scaling).run()


class _Simulation:
    def __init__(self, scenario: FleetScenario, placement: str, scaling: str) -> None:
        self._scenario = scenario
        self._names = placement, scaling
        self._placement = PLACEMENTS[placement]
        self._target = SCALINGS[scaling](scenario)
        self._calls = draw_calls(scenario)
        self._times_s = [call.at_s for call in self._calls]
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._count = 0
        self._now_s = 0.0
        self._nodes: dict[int, _Node] = {}
        self._last_number = 0
        self._line: deque[_Call] = deque()
        self._waits_s: list[float] = []
        self._node_s = 0.0
        # by the number of streams on their node
        self._stream_s: defaultdict[int, float] = defaultdict(float)
        self._gave_up = self._lost = self._moved = self._failed = 0

    def run(self) -> FleetRun:
        scenario = self._scenario
        expected = scenario.rate(0) * scenario.mean_length_s / scenario.places
        for _ in range(min(scenario.most_nodes, math.ceil(expected) + 1)):
            self._ready(self._begin_node())
        for call in self._calls:
            self._at(call.at_s, partial(self._arrive, call))
        self._at(0.0, self._look)
        while self._events and self._events[0][0] <= scenario.end_s:
            self._now_s, _, happen = heapq.heappop(self._events)
            happen()
        self._now_s = scenario.end_s
        for node in list(self._nodes.values()):
            self._end_node(node)
        return self._result()

    def _at(self, at_s: float, happen: Callable[[], None]) -> None:
        self._count += 1  # of two events of one time the first that was planned is first
        heapq.heappush(self._events, (at_s, self._count, happen))

    # ---- calls

    def _arrive(self, drawn: SimulatedCall) -> None:
        self._wait(_Call(left_s=drawn.length_s, since_s=self._now_s))
        self._serve_line()

    def _wait(self, call: _Call, *, first: bool = False) -> None:
        call.turn += 1
        call.since_s = self._now_s
        (self._line.appendleft if first else self._line.append)(call)
        patience_s = self._scenario.patience_s
        self._at(self._now_s + patience_s, partial(self._give_up, call, call.turn))

    def _give_up(self, call: _Call, turn: int) -> None:
        if call.turn != turn:
            return
        self._line.remove(call)
        if call.was_served:
            self._lost += 1
        else:
            self._gave_up += 1
            self._waits_s.append(self._scenario.patience_s)

    def _serve_line(self) -> None:
        while self._line and (node := self._choose()) is not None:
            call = self._line.popleft()
            if not call.was_served:
                self._waits_s.append(self._now_s - call.since_s)
            call.turn += 1
            call.since_s, call.was_served = self._now_s, True
            self._put(call, node)
            self._at(self._now_s + call.left_s, partial(self._end, call, call.turn))

    def _choose(self) -> _Node | None:
        number = self._placement.choose(
            {
                node.number: self._scenario.places - len(node.calls)
                for node in self._nodes.values()
                if node.is_ready and not node.is_leaving
            }
        )
        return None if number is None else self._nodes[number]

    def _end(self, call: _Call, turn: int) -> None:
        if call.turn != turn:
            return
        call.turn += 1
        node = self._take(call)
        if node.is_leaving and not node.calls:
            self._end_node(node)
        self._serve_line()

    def _put(self, call: _Call, node: _Node) -> None:
        self._note(node)
        node.calls.append(call)
        call.node = node

    def _take(self, call: _Call) -> _Node:
        node = call.node
        assert node is not None, "it has a place"
        self._note(node)
        node.calls.remove(call)
        call.node = None
        return node

    def _note(self, node: _Node) -> None:
        """Count the time that the node's streams have had each other's company."""
        streams = len(node.calls)
        self._stream_s[streams] += streams * (self._now_s - node.changed_s)
        node.changed_s = self._now_s

    # ---- nodes

    def _begin_node(self) -> _Node:
        self._last_number += 1
        node = _Node(self._last_number, began_s=self._now_s, changed_s=self._now_s)
        self._nodes[node.number] = node
        return node

    def _ready(self, node: _Node) -> None:
        if node.number not in self._nodes:
            return
        node.is_ready = True
        life = life_s(self._scenario, node.number)
        self._at(self._now_s + life, partial(self._fail, node))
        self._serve_line()

    def _fail(self, node: _Node) -> None:
        """Its calls look for another place, before those that have none yet."""
        if node.number not in self._nodes:
            return
        self._failed += 1
        self._drop(node)
        self._serve_line()

    def _drop(self, node: _Node) -> None:
        for call in list(node.calls):
            self._take(call)
            call.left_s -= self._now_s - call.since_s
            self._wait(call, first=True)
        self._end_node(node)

    def _end_node(self, node: _Node) -> None:
        self._note(node)
        self._node_s += self._now_s - node.began_s
        del self._nodes[node.number]

    def _look(self) -> None:
        staying = [node for node in self._nodes.values() if not node.is_leaving]
        first = bisect_left(self._times_s, self._now_s - RATE_WINDOW_S)
        view = FleetView(
            loads=[
                NodeLoad(streams=len(node.calls), free=self._scenario.places - len(node.calls))
                for node in staying
                if node.is_ready
            ],
            now=len(staying),
            now_s=self._now_s,
            waiting=len(self._line),
            recent=bisect_left(self._times_s, self._now_s) - first,
        )
        target = self._target(view)
        for _ in range(target - len(staying)):
            node = self._begin_node()
            self._at(self._now_s + self._scenario.start_s, partial(self._ready, node))
        for node in sorted(staying, key=self._leaves_first)[: max(0, len(staying) - target)]:
            self._leave(node)
        if self._placement.moves is Moves.EVENLY:
            self._even_out()
        self._at(self._now_s + self._scenario.look_s, self._look)

    def _leaves_first(self, node: _Node) -> tuple[bool, int, int]:
        """Who is not ready goes first, as with Serve, then the newest; whoever moves calls to even
        out takes the one with the fewest."""
        calls = len(node.calls) if self._placement.moves is Moves.EVENLY else 0
        return node.is_ready, calls, -node.number

    def _leave(self, node: _Node) -> None:
        node.is_leaving = True
        if self._placement.moves is Moves.NEVER:
            if not node.calls:
                self._end_node(node)
            return
        for call in list(node.calls):
            other = self._choose()
            if other is None:
                break
            self._move(call, other)
        self._drop(node)  # those for whom there was no place

    def _even_out(self) -> None:
        nodes = [node for node in self._nodes.values() if node.is_ready and not node.is_leaving]
        while len(nodes) > 1:
            fullest = max(nodes, key=lambda node: len(node.calls))
            emptiest = min(nodes, key=lambda node: len(node.calls))
            if len(fullest.calls) - len(emptiest.calls) < 2:
                return
            self._move(fullest.calls[-1], emptiest)

    def _move(self, call: _Call, node: _Node) -> None:
        self._take(call)
        self._put(call, node)
        self._moved += 1

    def _result(self) -> FleetRun:
        scenario = self._scenario
        placement, scaling = self._names
        served_s = sum(self._stream_s.values())
        chunks = [
            (scenario.chunk_with(streams), seconds)
            for streams, seconds in self._stream_s.items()
            if streams
        ]
        return FleetRun(
            placement=placement,
            scaling=scaling,
            calls=len(self._calls),
            node_hours_a_day=self._node_s / _S_PER_H / scenario.days,
            wait_p99_s=percentile([(wait_s, 1.0) for wait_s in self._waits_s], 0.99),
            gave_up=self._gave_up,
            lost=self._lost,
            failed_nodes=self._failed,
            moved=self._moved,
            stream_hours_a_day=served_s / _S_PER_H / scenario.days,
            chunk_mean_ms=sum(ms * seconds for ms, seconds in chunks) / max(served_s, 1e-9),
            chunk_p99_ms=percentile(chunks, 0.99),
        )

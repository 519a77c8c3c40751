"""What the gate knows of the nodes: their last reports, and which has which stream. Pure: times are
arguments, in ns of one monotonic clock.

Everything here is learned anew from the nodes by a gate that is started again. A node that does not
answer is lost: its streams are nowhere then, and are begun anew elsewhere when their publishers
come back. Their parameters are remembered for a while, for publishers that cannot bring their own
(WHIP).
"""

from collections import OrderedDict
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field

from slipstream_protocol.clock import NS_PER_S
from slipstream_protocol.parameters import Parameters
from slipstream_server.signaling.node_api import NodeReport, StreamReport

REMEMBERED_NS = 120 * NS_PER_S
_ORPHANS_MAX = 4096
_MISSES_MAX = 2  # requests for a report that are not answered in time


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeAddress:
    """Where a node is.

    Args:
        name: of the node.
        url: of its HTTP, without a slash at the end.
        host: the machine, for people.
    """

    name: str
    url: str
    host: str


@dataclass(slots=True, kw_only=True)
class NodeState:
    """A node at its last report.

    Args:
        report: None before the first, and once it is lost.
        asked_ns: when that was asked for.
        misses: requests since that were not answered in time.
        noted: streams that have begun since, and when.
        is_listed: whether it is still part of the fleet; one that leaves is known as long as it
            answers.
    """

    address: NodeAddress
    report: NodeReport | None = None
    asked_ns: int = 0
    misses: int = 0
    noted: dict[str, int] = field(default_factory=dict)
    is_listed: bool = True

    @property
    def takes_calls(self) -> bool:
        return self.report is not None and self.report.health.ready

    @property
    def is_stopping(self) -> bool:
        return self.report is not None and self.report.health.status == "stopping"

    def has(self, stream: str) -> bool:
        known = self.report.streams if self.report is not None else ()
        return stream in self.noted or any(one.stream == stream for one in known)


@dataclass(frozen=True, slots=True)
class _Orphan:
    """A stream whose node is lost."""

    parameters: Parameters
    since_ns: int


class NodeTable:
    """All nodes by name."""

    def __init__(self) -> None:
        self._nodes: dict[str, NodeState] = {}
        self._orphans: OrderedDict[str, _Orphan] = OrderedDict()

    def __iter__(self) -> Iterator[NodeState]:
        return iter(tuple(self._nodes.values()))

    def get(self, name: str) -> NodeState | None:
        """The node of this name, answering or not; None if there is none."""
        return self._nodes.get(name)

    def update(self, addresses: Iterable[NodeAddress]) -> None:
        """These are the fleet's nodes now; one that is no more is known as long as it answers."""
        listed = {address.name: address for address in addresses}
        for name, address in listed.items():
            known = self._nodes.get(name)
            if known is None or known.address != address:
                self._nodes[name] = NodeState(address=address)
            else:
                known.is_listed = True
        for name in self._nodes.keys() - listed.keys():
            self._nodes[name].is_listed = False

    def report(self, name: str, report: NodeReport, *, asked_ns: int) -> None:
        """A node has reported; a report that was asked for earlier than the last is ignored."""
        node = self._nodes.get(name)
        if node is None or asked_ns < node.asked_ns:
            return
        node.report, node.asked_ns, node.misses = report, asked_ns, 0
        node.noted = {stream: at for stream, at in node.noted.items() if at > asked_ns}
        for one in report.streams:
            self._orphans.pop(one.stream, None)

    def note(self, name: str, stream: str, now_ns: int) -> None:
        """A stream has begun on a node: viewers may come before its next report."""
        if name in self._nodes:
            self._nodes[name].noted[stream] = now_ns

    def missed(self, name: str, now_ns: int, *, is_refused: bool) -> bool:
        """A node has not answered; returns whether it is lost by that.

        Args:
            is_refused: nobody listens there, which no load explains.
        """
        node = self._nodes.get(name)
        if node is None:
            return False
        node.misses += 1
        if not is_refused and node.misses < _MISSES_MAX:
            return False
        report, node.report, node.noted = node.report, None, {}
        if not node.is_listed:
            del self._nodes[name]
        if report is None:
            return False
        for one in report.streams:
            self._orphan(one, now_ns)
        return True

    def node_of(self, stream: str) -> NodeState | None:
        """The node that has the stream; where two have it, one that does not stop, since it has
        taken over, and of those the one where the stream began last."""
        having = [node for node in self if node.has(stream)]
        return max(
            having, key=lambda node: (not node.is_stopping, -_age_s(node, stream)), default=None
        )

    def newest(self) -> tuple[NodeState, str] | None:
        """The newest stream, one with a publisher if there is any, and its node."""
        found = [
            (node, one) for node in self if node.report is not None for one in node.report.streams
        ]
        if not found:
            return None
        node, one = max(found, key=lambda pair: (pair[1].state != "held", -pair[1].age_s))
        return node, one.stream

    def any_node(self, *, but: Collection[str] = ()) -> NodeState | None:
        """One that answers, if possible one that takes calls.

        Args:
            but: nodes that are not to be taken.
        """
        answering = [
            node for node in self if node.report is not None and node.address.name not in but
        ]
        return max(
            answering, key=lambda node: (node.takes_calls, not node.is_stopping), default=None
        )

    def parameters_of(self, stream: str, now_ns: int) -> Parameters | None:
        """Those of a stream whose node is lost, or stops; None for any other, or a while later."""
        node = self.node_of(stream)
        if node is not None and node.is_stopping and node.report is not None:
            found = (one.parameters for one in node.report.streams if one.stream == stream)
            return next(found, None)
        orphan = self._orphans.get(stream)
        if node is not None or orphan is None or now_ns - orphan.since_ns > REMEMBERED_NS:
            return None
        return orphan.parameters

    def _orphan(self, one: StreamReport, now_ns: int) -> None:
        self._orphans.pop(one.stream, None)
        self._orphans[one.stream] = _Orphan(one.parameters, now_ns)
        while len(self._orphans) > _ORPHANS_MAX:
            self._orphans.popitem(last=False)


def _age_s(node: NodeState, stream: str) -> float:
    if stream in node.noted or node.report is None:
        return 0.0
    return next((one.age_s for one in node.report.streams if one.stream == stream), 0.0)

"""Places on nodes: nobody gets one that somebody else has been promised."""

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from slipstream_fleet.placement import RESERVATION_NS, NodePlaces, Reservation

free_places = st.dictionaries(st.sampled_from("abcdef"), st.integers(0, 8))


def placement_of(free: dict[str, int]) -> NodePlaces:
    placement = NodePlaces()
    for node, places in free.items():
        placement.report(node, free=places, asked_ns=0)
    return placement


@given(free=free_places, offers=st.integers(0, 100))
def test_a_burst_gets_as_many_places_as_there_are(free: dict[str, int], offers: int) -> None:
    """of each node no more than it has, whatever comes at once."""
    placement = placement_of(free)
    kept = [one for _ in range(offers) if (one := placement.reserve(1)) is not None]
    assert len(kept) == min(offers, sum(free.values()))
    assert all(sum(one.node == node for one in kept) <= places for node, places in free.items())
    assert placement.total_free(1) == sum(free.values()) - len(kept)


def test_a_hundred_offers_on_three_nodes_with_six_places() -> None:
    """exactly six are admitted, two on each."""
    placement = placement_of({"a": 2, "b": 2, "c": 2})
    kept = [placement.reserve(1) for _ in range(100)]
    nodes = sorted(one.node for one in kept if one is not None)
    assert nodes == ["a", "a", "b", "b", "c", "c"]


@given(free=free_places, but=st.sets(st.sampled_from("abcdef")))
def test_the_node_with_most_places_is_taken(free: dict[str, int], but: set[str]) -> None:
    """among those that may be."""
    kept = placement_of(free).reserve(1, but=but)
    most = max((places for node, places in free.items() if node not in but), default=0)
    if most == 0:
        assert kept is None
    else:
        assert kept is not None and free[kept.node] == most and kept.node not in but


def test_a_report_takes_over_what_it_has_counted() -> None:
    """a report that was asked for before the node's answer may not have counted the stream yet."""
    placement = placement_of({"a": 2})
    kept = placement.reserve(10)
    assert kept is not None
    placement.answered(kept, 20)
    placement.report("a", free=2, asked_ns=15)
    assert placement.free("a", 30) == 1
    placement.report("a", free=1, asked_ns=25)
    assert placement.free("a", 30) == 1


def test_an_older_report_is_ignored() -> None:
    placement = placement_of({"a": 0})
    placement.report("a", free=1, asked_ns=20)
    placement.report("a", free=5, asked_ns=10)
    assert placement.free("a", 30) == 1


def test_a_reservation_ends_by_itself() -> None:
    """whoever made it may be gone."""
    placement = placement_of({"a": 1})
    assert placement.reserve(0) is not None
    assert placement.reserve(RESERVATION_NS - 1) is None
    assert placement.reserve(RESERVATION_NS) is not None


def test_a_node_that_refuses_gets_none_for_a_while() -> None:
    """it knows better than its last report; other nodes are as before."""
    placement = placement_of({"a": 2, "b": 1})
    placement.close("a", until_ns=50)
    assert (placement.free("a", 49), placement.free("a", 50), placement.free("b", 0)) == (0, 2, 1)


def test_a_node_that_is_gone_has_no_places() -> None:
    """and what was reserved on it may be given back all the same."""
    placement = placement_of({"a": 2})
    kept = placement.reserve(0)
    assert kept is not None
    placement.forget("a")
    placement.give_back(kept)
    placement.answered(kept, 1)
    placement.close("a", until_ns=9)
    assert placement.total_free(1) == 0


class NodesAndGate(RuleBasedStateMachine):
    """Nodes that open streams and report, and a gate that reserves before it asks them."""

    def __init__(self) -> None:
        super().__init__()
        self.now_ns = 1
        self.capacity = {"a": 2, "b": 3}
        self.streams = {"a": 0, "b": 0}
        self.under_way: list[Reservation] = []
        self.placement = placement_of(self.capacity)

    @rule()
    def offer(self) -> None:
        self.now_ns += 1
        kept = self.placement.reserve(self.now_ns)
        if kept is not None:
            self.under_way.append(kept)

    @precondition(lambda self: self.under_way)
    @rule(data=st.data())
    def node_answers(self, data: st.DataObject) -> None:
        self.now_ns += 1
        kept = data.draw(st.sampled_from(self.under_way))
        self.under_way.remove(kept)
        self.streams[kept.node] += 1
        self.placement.answered(kept, self.now_ns)
        self.placement.give_back(kept)

    @precondition(lambda self: self.under_way)
    @rule(data=st.data())
    def offer_fails(self, data: st.DataObject) -> None:
        kept = data.draw(st.sampled_from(self.under_way))
        self.under_way.remove(kept)
        self.placement.give_back(kept)

    @rule(node=st.sampled_from("ab"))
    def report(self, node: str) -> None:
        self.now_ns += 1
        free = self.capacity[node] - self.streams[node]
        self.placement.report(node, free=free, asked_ns=self.now_ns)

    @precondition(lambda self: any(self.streams.values()))
    @rule(data=st.data())
    def stream_ends(self, data: st.DataObject) -> None:
        live = [node for node, streams in self.streams.items() if streams]
        self.streams[data.draw(st.sampled_from(live))] -= 1

    @invariant()
    def no_node_is_promised_beyond_its_places(self) -> None:
        for node, capacity in self.capacity.items():
            promised = sum(kept.node == node for kept in self.under_way)
            assert self.streams[node] + promised <= capacity


TestNodesAndGate = NodesAndGate.TestCase

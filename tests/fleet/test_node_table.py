"""Which node has which stream, as far as nodes have told."""

from slipstream_fleet.node_table import REMEMBERED_NS, NodeAddress, NodeTable
from slipstream_protocol.parameters import Prompt

from tests.fleet.reports import health, report, stream

A, B = (NodeAddress(name=name, url=f"http://{name}", host="h") for name in "ab")


def table_of(**reports: object) -> NodeTable:
    table = NodeTable()
    table.update([A, B])
    for name, one in reports.items():
        table.report(name, one, asked_ns=10)  # type: ignore[arg-type]
    return table


def home(table: NodeTable, name: str) -> str | None:
    node = table.node_of(name)
    return None if node is None else node.address.name


def test_a_stream_is_where_it_was_reported() -> None:
    table = table_of(a=report("one"), b=report("two"))
    assert (home(table, "one"), home(table, "two"), home(table, "three")) == ("a", "b", None)


def test_a_stream_is_known_before_its_nodes_next_report() -> None:
    """a report that was asked for later knows better."""
    table = table_of(a=report(), b=report())
    table.note("a", "new", 20)
    table.report("a", report(), asked_ns=15)
    assert home(table, "new") == "a"
    table.report("a", report(), asked_ns=25)
    assert home(table, "new") is None


def test_a_stream_that_moves_is_where_it_has_come() -> None:
    """also while the node that stops still has it."""
    table = table_of(a=report("one", stops=True), b=report())
    assert home(table, "one") == "a"
    table.note("b", "one", 20)
    assert home(table, "one") == "b"


def test_of_two_nodes_that_have_a_stream_the_later_one_counts() -> None:
    """the other has been away, and came back."""
    old, new = report(streams=[stream("one", age_s=60)]), report(streams=[stream("one", age_s=2)])
    assert home(table_of(a=old, b=new), "one") == "b"
    assert home(table_of(a=new, b=old), "one") == "a"


def test_a_silent_node_is_lost_after_two_misses_and_a_refused_one_at_once() -> None:
    """its streams are nowhere then; once it answers it is back."""
    table = table_of(a=report("one"), b=report("two"))
    assert not table.missed("a", 20, is_refused=False)
    assert home(table, "one") == "a"
    assert table.missed("a", 21, is_refused=False)
    assert table.missed("b", 22, is_refused=True)
    assert (home(table, "one"), home(table, "two"), table.any_node()) == (None, None, None)
    assert not table.missed("a", 23, is_refused=True)
    table.report("a", report("one"), asked_ns=30)
    assert home(table, "one") == "a"


def test_a_node_that_leaves_is_known_until_it_is_silent() -> None:
    """its calls are still to be ended."""
    table = table_of(a=report("one"))
    table.update([B])
    assert home(table, "one") == "a"
    table.missed("a", 20, is_refused=True)
    assert table.get("a") is None


def test_a_node_at_another_address_is_another() -> None:
    """a drained node that starts anew: what was reported of it before is void."""
    table = table_of(a=report("one"))
    table.update([NodeAddress(name="a", url="http://other", host="h"), B])
    assert home(table, "one") is None


def test_the_parameters_of_a_lost_stream_are_remembered_for_a_while() -> None:
    """not those of one that has ended, nor of one that goes on."""
    dusk = stream("one", prompt="dusk")
    table = table_of(a=report("two", streams=[dusk]), b=report())
    assert table.parameters_of("one", 20) is None
    table.report("a", report(streams=[dusk]), asked_ns=20)
    table.missed("a", 30, is_refused=True)
    known = table.parameters_of("one", 30 + REMEMBERED_NS)
    assert known is not None and known.prompts == (Prompt(text="dusk", weight=1.0),)
    assert table.parameters_of("two", 30) is None
    assert table.parameters_of("one", 31 + REMEMBERED_NS) is None
    table.report("b", report("one"), asked_ns=40)
    assert table.parameters_of("one", 40) is None


def test_a_node_that_stops_tells_the_parameters_itself() -> None:
    dusk = stream("one", prompt="dusk")
    known = table_of(a=report(stops=True, streams=[dusk])).parameters_of("one", 20)
    assert known is not None and known.prompts == (Prompt(text="dusk", weight=1.0),)


def test_the_newest_stream_is_one_with_a_publisher_if_possible() -> None:
    """over all nodes."""
    held = report(streams=[stream("held", age_s=1, state="held")])
    live = report(streams=[stream("old", age_s=9), stream("young", age_s=5)])
    for table in (table_of(a=held, b=live), table_of(a=live, b=held)):
        newest = table.newest()
        assert newest is not None and newest[1] == "young"
    assert table_of(a=report()).newest() is None


def test_any_node_is_one_that_takes_calls_if_possible() -> None:
    """a page must not come from one that stops, while there is another."""
    table = table_of(a=report(stops=True), b=report())
    node = table.any_node()
    assert node is not None and node.address.name == "b"
    other = table.any_node(but={"b"})
    assert other is not None and other.address.name == "a"
    assert health(ready=False).engine_detail

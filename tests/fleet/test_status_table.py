"""The table that people read."""

from slipstream_fleet.fleet_report import FleetReport, NodeEntry
from slipstream_fleet.status_table import status_table


def entry(node: str, *, state: str = "ready", version: str = "1", detail: str = "") -> NodeEntry:
    return NodeEntry(
        node=node,
        host="10.0.0.7",
        url=f"http://10.0.0.7/{node}",
        state=state,
        detail=detail,
        version=version,
        model="diffusion tiny",
        streams=2,
        held=1,
        viewers=3,
        free=4,
        seen_s=0.2,
    )


def test_each_node_has_a_line_and_what_is_wrong_is_said() -> None:
    report = FleetReport(
        nodes=(entry("b", state="down", version="2", detail="out of memory"), entry("a")),
        streams=4,
        free=4,
        waiting=5,
        versions=("1", "2"),
        lost_total=0,
    )
    assert status_table(report).splitlines() == [
        "NODE  MACHINE   STATE  STREAMS     FREE  VIEWERS  MODEL           VERSION",
        "a     10.0.0.7  ready  2 (1 held)  4     3        diffusion tiny  1",
        "b     10.0.0.7  down   2 (1 held)  4     3        diffusion tiny  2",
        "b: out of memory",
        "1 of 2 nodes ready, 4 streams, 4 places free, 5 callers wait",
        "several versions run: 1, 2",
    ]

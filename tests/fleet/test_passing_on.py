"""A request that every node is asked, by a scripted clock."""

import asyncio
from typing import Any, cast

import pytest
from slipstream_fleet.gate_request import GateRequest
from slipstream_fleet.node_client import AnswerTooLarge, HttpAnswer, NodeUnreachable
from slipstream_fleet.node_table import NodeAddress, NodeState
from slipstream_fleet.passing_on import PassingOn
from slipstream_protocol.clock import NS_PER_S, now_ns
from slipstream_server.http.forwarded import Caller

from tests.fleet.reports import report
from tests.server.scripted_clock import run_scripted

CALLER = Caller(address="127.0.0.1", scheme="http", host="fleet")
REQUEST = GateRequest(
    method="GET", raw_path="/api/v1/streams", query="", headers=(), peer=CALLER, caller=CALLER
)
NODES = [
    NodeState(
        address=NodeAddress(name=str(number), url=f"http://{number}", host=""), report=report()
    )
    for number in range(40)
]


class Client:
    """Answers for each node with its address, a second later; but for some."""

    def __init__(self) -> None:
        self.asked = self.most = 0

    async def send(self, url: str, *_: object, **__: object) -> HttpAnswer:
        self.asked += 1
        self.most = max(self.most, self.asked)
        try:
            await asyncio.sleep(1000 if url == "http://7" else 1)
        finally:
            self.asked -= 1
        if url == "http://9":
            raise NodeUnreachable("it is gone", is_refused=True, was_sent=False)
        if url == "http://11":
            raise AnswerTooLarge("it has too much to say")
        return HttpAnswer(status=200, body=url.encode())


class Watch:
    def __init__(self) -> None:
        self.missing: list[str] = []

    def missed(self, node: NodeState, error: NodeUnreachable) -> None:
        self.missing.append(node.address.name)


def test_all_are_asked_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """up to a bound; one that is silent holds the answer up for two seconds, one that is gone
    not at all, and one that cannot be passed on is a refusal. Answers are in the nodes' order."""
    client, watch = Client(), Watch()
    nodes = PassingOn(cast(Any, watch), cast(Any, client))

    async def ask() -> tuple[list[HttpAnswer], float]:
        began_ns = now_ns()
        answers = await nodes.to_all(REQUEST, NODES)
        return answers, (now_ns() - began_ns) / NS_PER_S

    answers, took_s = run_scripted(ask(), monkeypatch)
    assert [one.body.decode() for one in answers if one.status == 200] == [
        f"http://{number}" for number in range(40) if number not in (7, 9, 11)
    ]
    assert [one.status for one in answers if one.status != 200] == [502]
    assert watch.missing == ["9"]
    assert took_s == pytest.approx(3.0) and client.most == 16

"""`shared/server_clock.js`: the server's clock is estimated from pings, the fastest of them."""

import random
from typing import Any

import pytest

from tests.web.conftest import FakeServer

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]

_PLAY = """
async (pings) => {
  const { ServerClock } = await import("/shared/server_clock.js");
  const clock = new ServerClock();
  return pings.map((ping) => {
    clock.add(...ping);
    return [clock.offset_ms, clock.error_ms];
  });
}
"""


async def played(server: FakeServer, pings: list[list[float]]) -> list[list[Any]]:
    """Offset and error after each ping `[sent, server, received]`; None if infinite."""
    estimates: list[list[Any]] = await server.evaluate(_PLAY, pings)
    return estimates


async def test_the_fastest_ping_counts(server: FakeServer) -> None:
    """its middle is the offset, half its round trip the error; slower ones change nothing."""
    estimates = await played(server, [[100, 1120, 140], [200, 1207, 204], [300, 1390, 400]])
    assert estimates == [[1000, 20], [1005, 2], [1005, 2]]


async def test_an_old_ping_is_replaced(server: FakeServer) -> None:
    """clocks drift: after a minute a round trip that is 4 ms slower is the better estimate."""
    estimates = await played(server, [[0, 1000, 2], [60_000, 61_003, 60_006]])
    assert estimates[-1] == [1000, 3]


async def test_another_server_has_another_clock(server: FakeServer) -> None:
    """an answer that no drift explains: earlier pings are forgotten."""
    estimates = await played(server, [[100, 1102, 104], [200, 900_250, 300], [400, 900_401, 402]])
    assert estimates == [[1000, 2], [900_000, 50], [900_000, 1]]


async def test_impossible_answers_are_ignored(server: FakeServer) -> None:
    """one before its ping, and one without a time."""
    estimates = await played(server, [[100, 1000, 99]])
    assert estimates[0][0] is None
    estimates = await played(server, [[100, 1102, 104], [200, float("nan"), 200]])
    assert estimates[-1] == [1000, 2]


async def test_the_truth_is_within_the_error(server: FakeServer) -> None:
    """for any delays of the network in each direction, with two clocks 50 ppm apart."""
    dice = random.Random(0)
    pings, truths = [], []
    at_ms = 0.0
    for _ in range(300):
        at_ms += dice.uniform(100, 2000)
        out_ms, back_ms = (dice.uniform(0.2, 3) + dice.expovariate(0.1) for _ in range(2))
        server_ms = 5000 + (at_ms + out_ms) * (1 + 5e-5)
        pings.append([at_ms, server_ms, at_ms + out_ms + back_ms])
        truths.append(5000 + at_ms * 5e-5)
    for (offset_ms, error_ms), truth_ms in zip(await played(server, pings), truths, strict=True):
        # the drift since the ping is bounded by how long pings are remembered
        assert abs(offset_ms - truth_ms) <= error_ms + 40 * 2000 * 5e-5

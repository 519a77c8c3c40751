"""`shared/signaling.js`: ICE candidates are sent in batches, while a session is open."""

from typing import Any

import pytest

from tests.web.conftest import FakeServer

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]

# `steps`: a candidate's text, or a method of the trickle, each followed by a pause
_PLAY = """
async ([steps, isFailing]) => {
  const { CandidateTrickle } = await import("/shared/signaling.js");
  const pc = new EventTarget();
  const batches = [];
  const trickle = new CandidateTrickle(pc, async (candidates) => {
    batches.push(candidates.map(({ candidate }) => candidate));
    if (isFailing) throw new Error("refused");
  });
  const find = (candidate) => {
    const event = new Event("icecandidate");
    event.candidate = candidate && { candidate };
    pc.dispatchEvent(event);
  };
  for (const step of steps) {
    if (step === "wait") await new Promise((resolve) => setTimeout(resolve, 100));
    else if (step === "open" || step === "close") trickle[step]();
    else find(step);
  }
  return batches;
}
"""


async def batches(server: FakeServer, *steps: str | None, is_failing: bool = False) -> Any:
    return await server.evaluate(_PLAY, [list(steps), is_failing])


async def test_candidates_wait_for_the_session(server: FakeServer) -> None:
    """those found before it is open go out together with those found shortly after."""
    sent = await batches(server, "a", "b", "wait", "open", "c", "wait", "d", None, "wait")
    assert sent == [["a", "b", "c"], ["d"]]


async def test_a_closed_session_gets_no_more(server: FakeServer) -> None:
    assert await batches(server, "open", "a", "close", "wait", "b", "wait") == []


async def test_a_refused_batch_does_not_stop_the_next(server: FakeServer) -> None:
    sent = await batches(server, "open", "a", "wait", "b", "wait", is_failing=True)
    assert sent == [["a"], ["b"]]

"""`studio/resume.js`: when to try again, and what the next page of a tab finds."""

from itertools import pairwise
from typing import Any

import pytest

from tests.web.conftest import SECURE, Fake

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]

HOLD_MS = 30_000

# waits as long as it is told, and each attempt takes `attempt_ms`
_PLAY = """
async ([hold_ms, attempt_ms]) => {
  const { Comeback } = await import("/studio/resume.js");
  const comeback = new Comeback(0, hold_ms);
  const tried_ms = [];
  let now_ms = 0;
  for (;;) {
    const wait_ms = comeback.next(now_ms);
    if (wait_ms === null) return tried_ms;
    now_ms += wait_ms;
    tried_ms.push(now_ms);
    now_ms += attempt_ms;
  }
}
"""
_TICKETS = """
async (ages_ms) => {
  const { leaveTicket, takeTicket } = await import("/studio/resume.js");
  const real = Date.now;
  const found = ages_ms.map((age_ms) => {
    leaveTicket({ token: "t", hold_ms: 30000 });
    Date.now = () => real() + age_ms;
    const both = [takeTicket(), takeTicket()];
    Date.now = real;
    return both;
  });
  return [takeTicket(), ...found];
}
"""


async def opened(fake: Fake) -> None:
    fake.answer("/empty", 200, {})
    await fake.page.goto(f"{SECURE}/empty")


@pytest.mark.parametrize("attempt_ms", [0, 50, 8000])
async def test_attempts_thin_out_until_it_is_too_late(fake: Fake, attempt_ms: int) -> None:
    """the first at once, none after the server has given the stream up, none 4 s after the last."""
    await opened(fake)
    tried: list[int] = await fake.page.evaluate(_PLAY, [HOLD_MS, attempt_ms])
    waits = [after - before - attempt_ms for before, after in pairwise(tried)]
    assert tried[0] == 0
    assert tried[-1] <= HOLD_MS
    assert waits == sorted(waits)
    assert max(waits) <= 4000
    assert len(tried) < 20


async def test_a_ticket_is_found_once_and_in_time(fake: Fake) -> None:
    """by the next page of the tab, not by one after it, and not when the stream is gone."""
    await opened(fake)
    seen: list[Any] = await fake.page.evaluate(_TICKETS, [0, 29_000, 30_001])
    ticket = {"token": "t", "hold_ms": HOLD_MS}
    assert seen == [None, [ticket, None], [ticket, None], [None, None]]

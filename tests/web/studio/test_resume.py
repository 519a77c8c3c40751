"""`studio/resume.js`: when attempts are made, and the resume token across a reload."""

from itertools import pairwise
from typing import Any

import pytest

from tests.web.conftest import FakeServer

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]

WINDOW_MS = 30_000

# the times of attempts that take `attempt_ms` each
_PLAY = """
async ([window_ms, attempt_ms]) => {
  const { ReconnectSchedule } = await import("/studio/resume.js");
  const schedule = new ReconnectSchedule(0, window_ms);
  const attempts_ms = [];
  let now_ms = 0;
  for (;;) {
    const wait_ms = schedule.nextWait(now_ms);
    if (wait_ms === null) return attempts_ms;
    now_ms += wait_ms;
    attempts_ms.push(now_ms);
    now_ms += attempt_ms;
  }
}
"""
_TOKENS = """
async (ages_ms) => {
  const { storeResumeToken, takeResumeToken } = await import("/studio/resume.js");
  const real = Date.now;
  const found = ages_ms.map((age_ms) => {
    storeResumeToken({ token: "t", window_ms: 30000 });
    Date.now = () => real() + age_ms;
    const both = [takeResumeToken(), takeResumeToken()];
    Date.now = real;
    return both;
  });
  return [takeResumeToken(), ...found];
}
"""


@pytest.mark.parametrize("attempt_ms", [0, 50, 8000])
async def test_attempts_back_off_until_the_resume_window_is_over(
    server: FakeServer, attempt_ms: int
) -> None:
    """the first at once, none after the window, no two more than 4 s apart."""
    attempts: list[int] = await server.evaluate(_PLAY, [WINDOW_MS, attempt_ms])
    waits = [after - before - attempt_ms for before, after in pairwise(attempts)]
    assert attempts[0] == 0
    assert attempts[-1] <= WINDOW_MS
    assert waits == sorted(waits)
    assert max(waits) <= 4000
    assert len(attempts) < 20


async def test_a_token_is_found_once_and_in_time(server: FakeServer) -> None:
    """by the next page of the tab, not by one after it, and not after the resume window."""
    found: list[Any] = await server.evaluate(_TOKENS, [0, 29_000, 30_001])
    token = {"token": "t", "window_ms": WINDOW_MS}
    assert found == [None, [token, None], [token, None], [None, None]]

"""`studio/camera_recovery.js`: when a camera that has stopped is taken again."""

from typing import Any

import pytest

from tests.web.conftest import FakeServer

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]

# Plays events ("ended", "muted", ...) at their times, and asks every 100 ms whether it is time.
_PLAY = """
async ([events, until_ms]) => {
  const { CameraRecovery } = await import("/studio/camera_recovery.js");
  const recovery = new CameraRecovery();
  const due = [];
  for (let now_ms = 0; now_ms <= until_ms; now_ms += 100) {
    for (const [at_ms, what] of events) if (at_ms === now_ms) recovery[what](now_ms);
    if (recovery.isDue(now_ms)) due.push(now_ms);
  }
  return [due, recovery.state];
}
"""


async def play(server: FakeServer, *events: tuple[int, str], until_ms: int) -> list[Any]:
    result: list[Any] = await server.evaluate(_PLAY, [list(events), until_ms])
    return result


async def test_a_camera_that_ends_is_taken_at_once_and_then_with_back_off(
    server: FakeServer,
) -> None:
    """for as long as the call lasts, at most four seconds apart."""
    due, state = await play(server, (100, "ended"), until_ms=16_000)
    assert due == [100, 600, 1600, 3600, 7600, 11600, 15600]
    assert state == "gone"


async def test_a_device_that_is_plugged_in_is_tried_at_once(server: FakeServer) -> None:
    """and once it gives pictures no more attempts are made."""
    due, state = await play(
        server, (0, "ended"), (4000, "devicesChanged"), (4100, "given"), until_ms=20_000
    )
    assert due == [0, 500, 1500, 3500, 4000]
    assert state == "giving"


async def test_a_muted_camera_is_given_time(server: FakeServer) -> None:
    """most come back by themselves; one that does not is taken anew."""
    assert await play(server, (0, "muted"), (3000, "given"), until_ms=9_000) == [[], "giving"]
    due, state = await play(server, (0, "muted"), until_ms=4_400)
    assert (due, state) == ([4000], "muted")

"""`studio/update_tracker.js`: an update is followed from the control to the screen."""

from typing import Any

import pytest

from tests.web.conftest import FakeServer

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]

_PLAY = """
async (events) => {
  const { UpdateTracker } = await import("/studio/update_tracker.js");
  const tracker = new UpdateTracker();
  for (const [name, ...values] of events) tracker[name](...values);
  return tracker.update;
}
"""


async def played(server: FakeServer, *events: list[Any]) -> dict[str, Any]:
    """The newest update after these calls."""
    update: dict[str, Any] = await server.evaluate(_PLAY, events)
    return update


def frame(rtp: int | None, shown_ms: float) -> list[Any]:
    return ["addFrame", {"rtp": rtp, "shown_ms": shown_ms}]


async def test_the_first_frame_made_with_it_counts(server: FakeServer) -> None:
    """Not the one before, and not a later one."""
    update = await played(
        server,
        ["sent", 7, "Prompt", 1000],
        ["acknowledged", 7, "accepted", []],
        frame(100, 1010),
        ["applied", 7, 1012],
        ["onAir", 7, 300],
        frame(200, 1100),
        frame(300, 1400),
        frame(400, 1433),
    )
    assert (update["stage"], update["applied_ms"], update["shown_ms"]) == ("shown", 12, 400)


async def test_a_frame_may_arrive_before_the_message_about_it(server: FakeServer) -> None:
    """It is on the screen before the event `on_air` comes."""
    update = await played(
        server,
        ["sent", 1, "Prompt", 1000],
        frame(200, 1100),
        frame(300, 1150),
        ["onAir", 1, 300],
        ["applied", 1, 1160],
    )
    assert (update["stage"], update["applied_ms"], update["shown_ms"]) == ("shown", 160, 150)


async def test_timestamps_wrap(server: FakeServer) -> None:
    """2^32 comes before 0."""
    update = await played(
        server,
        ["sent", 1, "Prompt", 0],
        ["onAir", 1, 5],
        frame(2**32 - 90, 40),
        frame(6, 80),
    )
    assert (update["stage"], update["shown_ms"]) == ("shown", 80)


@pytest.mark.parametrize(("sent_rtp", "shown_rtp"), [(None, 77), (300, None)])
async def test_without_a_timestamp_the_next_frame_counts(
    server: FakeServer, sent_rtp: int | None, shown_rtp: int | None
) -> None:
    """Whether the server or the browser does not report it."""
    update = await played(
        server,
        ["sent", 1, "Seed", 0],
        frame(shown_rtp, 10),
        ["onAir", 1, sent_rtp],
        frame(shown_rtp, 50),
    )
    assert update["stage"] == "shown"


async def test_a_newer_update_replaces_the_older(server: FakeServer) -> None:
    """Events of an older one do not change the newest."""
    update = await played(
        server,
        ["sent", 1, "Strength", 0],
        ["sent", 2, "Strength", 20],
        ["acknowledged", 1, "superseded", []],
        ["applied", 1, 30],
        ["onAir", 1, 100],
        frame(100, 40),
    )
    assert (update["rev"], update["stage"]) == (2, "sent")


async def test_a_rejection_keeps_its_reason(server: FakeServer) -> None:
    """The page shows what the server says."""
    update = await played(
        server,
        ["sent", 1, "Steps", 0],
        ["acknowledged", 1, "rejected", ["denoising_step_list is [1, 2], it must fall"]],
    )
    assert update["stage"] == "rejected"
    assert update["errors"] == ["denoising_step_list is [1, 2], it must fall"]

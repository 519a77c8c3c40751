"""`studio/update_tracker.js`: a change is followed from the control to the screen."""

from typing import Any

import pytest

from tests.web.conftest import SECURE, Fake

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]

_PLAY = """
async (events) => {
  const { RoundTrip } = await import("/studio/update_tracker.js");
  const roundTrip = new RoundTrip();
  for (const [name, ...values] of events) roundTrip[name](...values);
  return roundTrip.trip;
}
"""


async def played(fake: Fake, *events: list[Any]) -> dict[str, Any]:
    """Where the newest change stands after these calls."""
    fake.answer("/empty", 200, {})
    await fake.page.goto(f"{SECURE}/empty")
    trip: dict[str, Any] = await fake.page.evaluate(_PLAY, events)
    return trip


def frame(rtp: int | None, shown_ms: float) -> list[Any]:
    return ["presented", {"rtp": rtp, "shown_ms": shown_ms}]


async def test_the_first_frame_made_with_it_counts(fake: Fake) -> None:
    """Not the one before, and not a later one."""
    trip = await played(
        fake,
        ["sent", 7, "Prompt", 1000],
        ["acknowledged", 7, "accepted", []],
        frame(100, 1010),
        ["applied", 7, 1012],
        ["onAir", 7, 300],
        frame(200, 1100),
        frame(300, 1400),
        frame(400, 1433),
    )
    assert (trip["stage"], trip["applied_ms"], trip["shown_ms"]) == ("shown", 12, 400)


async def test_a_frame_may_overtake_the_message_about_it(fake: Fake) -> None:
    """The picture is on the screen before the channel says that it was sent."""
    trip = await played(
        fake,
        ["sent", 1, "Prompt", 1000],
        frame(200, 1100),
        frame(300, 1150),
        ["onAir", 1, 300],
        ["applied", 1, 1160],
    )
    assert (trip["stage"], trip["applied_ms"], trip["shown_ms"]) == ("shown", 160, 150)


async def test_timestamps_wrap(fake: Fake) -> None:
    """2^32 comes before 0."""
    trip = await played(
        fake,
        ["sent", 1, "Prompt", 0],
        ["onAir", 1, 5],
        frame(2**32 - 90, 40),
        frame(6, 80),
    )
    assert (trip["stage"], trip["shown_ms"]) == ("shown", 80)


@pytest.mark.parametrize(("told", "seen"), [(None, 77), (300, None)])
async def test_without_a_timestamp_the_next_frame_counts(
    fake: Fake, told: int | None, seen: int | None
) -> None:
    """Whether the server or the browser does not tell it."""
    trip = await played(
        fake, ["sent", 1, "Seed", 0], frame(seen, 10), ["onAir", 1, told], frame(seen, 50)
    )
    assert trip["stage"] == "shown"


async def test_a_later_change_overtakes(fake: Fake) -> None:
    """News of an older one does not touch the newest."""
    trip = await played(
        fake,
        ["sent", 1, "Strength", 0],
        ["sent", 2, "Strength", 20],
        ["acknowledged", 1, "superseded", []],
        ["applied", 1, 30],
        ["onAir", 1, 100],
        frame(100, 40),
    )
    assert (trip["rev"], trip["stage"]) == (2, "sent")


async def test_a_rejection_keeps_its_reason(fake: Fake) -> None:
    """The page shows what the server says."""
    trip = await played(
        fake,
        ["sent", 1, "Steps", 0],
        ["acknowledged", 1, "rejected", ["denoising_step_list is [1, 2], it must fall"]],
    )
    assert trip["stage"] == "rejected"
    assert trip["errors"] == ["denoising_step_list is [1, 2], it must fall"]

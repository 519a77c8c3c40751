"""The reasons of moves, in words."""

import pytest
from slipstream_protocol.levels import Level
from slipstream_server.ladder.moves import Move, MoveCause

from tests.server.ladder.readings import reading


@pytest.mark.parametrize(
    ("cause", "text"),
    [
        (MoveCause.AGE, "pictures were 0.9 s old"),
        (MoveCause.RATE, "only 8 pictures a second were made of 30"),
        (MoveCause.ROOM, "pictures are 0.9 s old, there is room for more"),
        (MoveCause.RELAPSE, "it did not hold, pictures were 0.9 s old and 8 a second"),
        (MoveCause.STALL, "the device was disturbed for a moment only"),
        (MoveCause.OTHERS, "the device is full, and older streams come first"),
        (MoveCause.RETURN, "there is room on the device again"),
    ],
)
def test_every_cause_has_its_words(cause: MoveCause, text: str) -> None:
    before, after = Level(steps=2), Level(steps=1, fps=15)
    measured = reading(before, codec_ms=260, step_ms=120)
    move = Move(before=before, after=after, cause=cause, reading=measured, chunk_frames=4)
    assert move.text == f"2 steps -> 1 step, every picture -> 15 pictures a second: {text}"
    assert move.is_down


@pytest.mark.parametrize(
    ("before", "after", "text"),
    [
        (Level(steps=1), Level(steps=1, fps=8), "every picture -> 8 pictures a second"),
        (
            Level(steps=1, fps=8),
            Level(steps=1, fps=12),
            "8 pictures a second -> 12 pictures a second",
        ),
        (Level(steps=1), Level(steps=1, size_px=192), "the largest size -> 192 px"),
        (Level(steps=1, size_px=192), Level(steps=2, size_px=192), "1 step -> 2 steps"),
        (Level(steps=1, fps=8), Level(), "1 step at 8 fps -> held"),
    ],
)
def test_only_what_changes_is_named(before: Level, after: Level, text: str) -> None:
    """a step count that stays says nothing."""
    move = Move(before=before, after=after, cause=MoveCause.OTHERS, reading=None, chunk_frames=4)
    assert move.text.startswith(f"{text}: ")


def test_every_cause_is_among_them() -> None:
    """a new one needs words of its own."""
    assert len(MoveCause) == 7

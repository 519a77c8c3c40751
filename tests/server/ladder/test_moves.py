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
        (MoveCause.OTHERS, "the device is full, and older streams come first"),
        (MoveCause.RETURN, "there is room on the device again"),
    ],
)
def test_every_cause_has_its_words(cause: MoveCause, text: str) -> None:
    before, after = Level(steps=2), Level(steps=1, fps=15)
    measured = reading(before, codec_ms=260, step_ms=120)
    move = Move(before=before, after=after, cause=cause, reading=measured, chunk_frames=4)
    assert move.text == f"2 steps -> 1 step at 15 fps: {text}"
    assert move.is_down


def test_every_cause_is_among_them() -> None:
    """a new one needs words of its own."""
    assert len(MoveCause) == 6

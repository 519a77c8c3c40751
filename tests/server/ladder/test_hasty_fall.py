"""Whether a fall that one chunk was the reason for is taken back."""

import pytest
from slipstream_protocol.levels import Level
from slipstream_server.ladder.hasty_fall import HastyFall

ABOVE = Level(steps=4)


@pytest.mark.parametrize(
    ("chunks", "too_soon"),
    [
        ([True, True], [False, True]),
        ([True, False, True], [False] * 3),
        ([False, True], [False] * 2),
    ],
)
def test_two_chunks_as_fast_as_before_take_it_back(
    chunks: list[bool], too_soon: list[bool]
) -> None:
    """a slow one among them says that it was right."""
    fall = HastyFall()
    fall.begin(ABOVE)
    assert [fall.see(would_hold=one) for one in chunks] == too_soon


def test_what_is_forgotten_is_not_taken_back() -> None:
    fall = HastyFall()
    assert fall.before is None
    fall.begin(ABOVE)
    assert fall.before == ABOVE
    fall.forget()
    assert fall.before is None
    assert not fall.see(would_hold=True) and not fall.see(would_hold=True)


def test_the_next_fall_is_judged_by_its_own_chunks() -> None:
    fall = HastyFall()
    fall.begin(ABOVE)
    assert not fall.see(would_hold=True)
    fall.begin(ABOVE)
    assert not fall.see(would_hold=True)
    assert fall.see(would_hold=True)

"""Which size is served, under scripted timings."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from slipstream_engine.serving.resolution import SHARE, ResolutionChoice
from slipstream_protocol.frames import FrameSize

MS = 1_000_000
SIZES = (FrameSize(256, 256), FrameSize(192, 192), FrameSize(128, 128))


def choice(sizes: tuple[FrameSize, ...] = SIZES) -> ResolutionChoice:
    """Chunks of 4 at 16 fps last 250 ms, of which the engine may take 175."""
    return ResolutionChoice(sizes, fps=16, chunk_frames=4)


def test_the_largest_stays_where_it_is_fast_enough() -> None:
    """one measurement is enough, and the note says what it was."""
    chosen = choice()
    assert chosen.size == FrameSize(256, 256)
    assert chosen.judge(134 * MS)
    assert chosen.size == FrameSize(256, 256)
    assert chosen.note == (
        "256x256, of which this machine makes 30 frames a second (23 leave room for a call)"
    )


def test_a_slow_machine_goes_down_a_size_at_a_time() -> None:
    """each size is measured; the first that keeps up is_chosen, and the note says what did not."""
    chosen = choice()
    assert not chosen.judge(400 * MS)
    assert chosen.size == FrameSize(192, 192)
    assert chosen.judge(170 * MS)
    assert chosen.size == FrameSize(192, 192)
    assert chosen.note == (
        "192x192 to begin with, since this machine makes 10 frames a second of 256x256 "
        "(23 leave room for a call; --size 256x256 insists)"
    )


def test_the_smallest_is_taken_as_it_is() -> None:
    """there is nothing to go down to."""
    chosen = choice()
    assert [chosen.judge(9000 * MS) for _ in SIZES] == [False, False, True]
    assert chosen.size == FrameSize(128, 128)


@pytest.mark.parametrize(("chunk_ms", "is_chosen"), [(174, True), (176, False)])
def test_a_call_beside_it_has_its_share(chunk_ms: int, is_chosen: bool) -> None:
    """a machine that is just fast enough with nothing else to do is not."""
    assert choice().judge(chunk_ms * MS) is is_chosen


@given(st.lists(st.floats(1, 1e4), min_size=len(SIZES), max_size=len(SIZES)))
def test_it_is_the_largest_that_keeps_up(chunk_ms: list[float]) -> None:
    """whatever the machine: what is served keeps up, or nothing does, and all larger do not."""
    chosen = choice()
    tried = 1 + next(n for n, ms in enumerate(chunk_ms) if chosen.judge(ms * MS))
    keeps_up = [ms <= SHARE * 250 for ms in chunk_ms]
    assert not any(keeps_up[: tried - 1])
    assert keeps_up[tried - 1] or tried == len(SIZES)


def test_there_must_be_a_size() -> None:
    with pytest.raises(ValueError, match="sizes is empty, there must be at least one"):
        choice(())

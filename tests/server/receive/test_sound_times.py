"""Sound is put among the pictures that were captured with it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from slipstream_protocol.clock import NS_PER_MS, NS_PER_S
from slipstream_server.receive.sound_times import ReceivedSound, SoundTimes
from slipstream_server.sound.delay_line import SOUND_HZ

UNIX_NS = 1_700_000_000 * NS_PER_S
CYCLE = 1 << 32


def received(
    at_ms: float, *, way_ms: float = 30, source: int = 7, unix_ns: int | None = None
) -> ReceivedSound:
    """Captured at `at_ms`, on a way of `way_ms`."""
    return ReceivedSound(
        payload=b"opus",
        source=source,
        timestamp=(CYCLE - 960 + round(at_ms * SOUND_HZ / 1000)) % CYCLE,
        arrived_ns=round((at_ms + way_ms) * NS_PER_MS),
        captured_unix_ns=unix_ns,
    )


@given(st.lists(st.integers(1, 3000), min_size=2, max_size=30))
def test_times_go_on_over_the_wrap(steps_ms: list[int]) -> None:
    """of a timestamp of 32 bits: pts are as far apart as the captures."""
    times, at_ms = SoundTimes(), 0
    first = times.timed(received(0))
    for step_ms in steps_ms:
        at_ms += step_ms
        assert times.timed(received(at_ms)).pts - first.pts == at_ms * SOUND_HZ // 1000


def test_another_source_goes_on_where_the_last_one_ended() -> None:
    """as with a publisher who comes back: its clock begins at random, its pts do not."""
    times = SoundTimes()
    before = times.timed(received(0))
    after = times.timed(received(1000, source=8))
    assert 0 < after.pts - before.pts == SOUND_HZ
    assert after.captured_ns == 1030 * NS_PER_MS


def test_the_senders_clock_puts_sound_among_the_pictures() -> None:
    """whatever the two ways take: both were captured at the same moment of it."""
    times = SoundTimes()
    times.on_picture(captured_ns=580 * NS_PER_MS, captured_unix_ns=UNIX_NS + 500 * NS_PER_MS)
    timed = times.timed(received(500, way_ms=20, unix_ns=UNIX_NS + 500 * NS_PER_MS))
    assert timed.captured_ns == 580 * NS_PER_MS


@pytest.mark.parametrize("off_s", [-3600, -2.5, 3, 1e9])
def test_a_report_that_cannot_be_true_is_not_believed(off_s: float) -> None:
    """the arrival counts then, as it does before there is any."""
    times = SoundTimes()
    times.on_picture(captured_ns=0, captured_unix_ns=UNIX_NS)
    timed = times.timed(received(500, unix_ns=UNIX_NS + round(off_s * NS_PER_S)))
    assert timed.captured_ns == 530 * NS_PER_MS
    times.on_picture(captured_ns=0, captured_unix_ns=None)
    assert times.timed(received(520, unix_ns=UNIX_NS)).captured_ns == 550 * NS_PER_MS

"""The rate: the link is obeyed, the floor is low, and frames go before size."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from slipstream_protocol.clock import NS_PER_S
from slipstream_server.rate import FLOOR_BPS, START_BPS, FrameThinner, Picture, RateControl

CEILING_BPS = 4_000_000
PICTURE = Picture(pixels=832 * 480, fps=24.0)


def test_it_begins_below_the_ceiling_and_within_reason() -> None:
    """2.5 Mbit/s, or the ceiling where that is lower."""
    assert RateControl(ceiling_bps=CEILING_BPS).bitrate_bps == START_BPS
    assert RateControl(ceiling_bps=1_000_000).bitrate_bps == 1_000_000


def test_the_receivers_estimate_is_obeyed_with_some_room() -> None:
    """0.85 of it, up to the ceiling, down to the floor."""
    rate = RateControl(ceiling_bps=CEILING_BPS)
    rate.on_remb(1_590_000)
    assert rate.bitrate_bps == int(0.85 * 1_590_000)
    rate.on_remb(50_000_000)
    assert rate.bitrate_bps == CEILING_BPS
    rate.on_remb(10_000)
    assert rate.bitrate_bps == FLOOR_BPS


def test_small_changes_are_left_alone() -> None:
    """a tenth down, a fifth up: below that the bitrate stays."""
    rate = RateControl(ceiling_bps=CEILING_BPS)
    rate.on_remb(2_000_000)
    before_bps = rate.bitrate_bps
    rate.on_remb(1_850_000)
    rate.on_remb(2_350_000)
    assert rate.bitrate_bps == before_bps


def test_loss_brings_it_down_and_quiet_lets_it_rise() -> None:
    """a fifth down at each lossy report half a second apart, then up by 8 % a second."""
    rate = RateControl(ceiling_bps=CEILING_BPS)
    rate.on_loss(0.2, 0)
    assert rate.bitrate_bps == int(0.8 * START_BPS)
    rate.on_loss(0.2, NS_PER_S // 10)
    assert rate.bitrate_bps == int(0.8 * START_BPS)
    rate.on_loss(0.2, NS_PER_S)
    low_bps = rate.bitrate_bps
    assert low_bps == int(0.64 * START_BPS)
    for second in range(2, 12):
        rate.on_loss(0.0, second * NS_PER_S)
    assert 1.8 * low_bps < rate.bitrate_bps <= 2.17 * low_bps


def test_moderate_loss_changes_nothing() -> None:
    """between 2 and 10 percent retransmission does its work."""
    rate = RateControl(ceiling_bps=CEILING_BPS)
    for second in range(10):
        rate.on_loss(0.05, second * NS_PER_S)
    assert rate.bitrate_bps == START_BPS


def test_a_floor_above_the_ceiling_is_refused() -> None:
    """the message says what is wrong."""
    with pytest.raises(ValueError, match="floor_bps is 250000, it must be above 0 and at most"):
        RateControl(ceiling_bps=100_000)


@given(
    ceiling=st.integers(FLOOR_BPS, 20_000_000),
    voices=st.lists(
        st.one_of(
            st.integers(0, 2**40),
            st.tuples(st.floats(0, 1), st.integers(0, 5 * NS_PER_S)),
        )
    ),
)
def test_whatever_is_heard(ceiling: int, voices: list[int | tuple[float, int]]) -> None:
    """the bitrate stays between floor and ceiling, and never above what the receiver allows."""
    rate = RateControl(ceiling_bps=ceiling)
    now_ns = 0
    for voice in voices:
        if isinstance(voice, int):
            rate.on_remb(voice)
            assert rate.bitrate_bps <= max(FLOOR_BPS, 0.85 * voice / 0.9)
        else:
            now_ns += voice[1]
            rate.on_loss(voice[0], now_ns)
        assert FLOOR_BPS <= rate.bitrate_bps <= ceiling


def kept(thinner: FrameThinner, bitrate_bps: int, frames: int = 60) -> list[bool]:
    return [thinner.keeps(PICTURE, bitrate_bps) for _ in range(frames)]


def test_a_good_link_gets_every_frame() -> None:
    """from 0.4 Mbit/s at 832x480 and 24 fps on."""
    assert all(kept(FrameThinner(), 450_000))


def test_a_poor_link_gets_fewer_frames_evenly() -> None:
    """every second at the floor; the gaps are all the same."""
    frames = kept(FrameThinner(), FLOOR_BPS)
    assert frames == [True, False] * 30 or frames == [False, True] * 30


def test_the_share_does_not_flutter() -> None:
    """a little more bitrate than the threshold is not enough to come back."""
    thinner = FrameThinner()
    kept(thinner, 395_000)
    assert thinner.share == Fraction(1, 2)
    kept(thinner, 420_000)
    assert thinner.share == Fraction(1, 2)
    kept(thinner, 480_000)
    assert thinner.share == 1


@given(st.integers(1, 10**7), st.integers(100, 10**7), st.floats(1, 120, allow_nan=False))
def test_frames_never_stop(bitrate_bps: int, pixels: int, fps: float) -> None:
    """of any three frames in a row at least one is sent."""
    thinner = FrameThinner()
    picture = Picture(pixels=pixels, fps=fps)
    sent = [thinner.keeps(picture, bitrate_bps) for _ in range(30)]
    assert all(any(sent[at : at + 3]) for at in range(28))

"""The rate follows the link down to a low floor; frames are left out before size is lowered."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from slipstream_protocol.clock import NS_PER_MS, NS_PER_S
from slipstream_server.frames.playout import Playout
from slipstream_server.send.bandwidth import (
    FLOOR_BPS,
    START_BPS,
    FrameSpacing,
    PictureFormat,
    RateControl,
)

from tests.server.stamped import generated_frame, ms

CEILING_BPS = 4_000_000
PICTURE = PictureFormat(pixels=832 * 480, fps=24.0)


def test_it_begins_below_the_ceiling_and_within_reason() -> None:
    """2.5 Mbit/s, or the ceiling where that is lower."""
    assert RateControl(ceiling_bps=CEILING_BPS).bitrate_bps == START_BPS
    assert RateControl(ceiling_bps=1_000_000).bitrate_bps == 1_000_000


def busy(now_ns: int = 0) -> RateControl:
    """A rate whose picture takes all of it."""
    rate = RateControl(ceiling_bps=CEILING_BPS)
    rate.on_packet_sent(CEILING_BPS // 8, now_ns)
    return rate


def test_the_receivers_estimate_is_obeyed_with_some_room() -> None:
    """0.85 of it, up to the ceiling, down to the floor."""
    rate = busy()
    rate.on_remb(1_590_000, 1)
    assert rate.bitrate_bps == int(0.85 * 1_590_000)
    rate.on_remb(50_000_000, 2)
    assert rate.bitrate_bps == CEILING_BPS
    rate.on_remb(10_000, 3)
    assert rate.bitrate_bps == FLOOR_BPS


def test_an_estimate_bound_by_what_arrives_is_no_limit() -> None:
    """a still picture's: it falls to half as much again as is sent, and says nothing of the link;
    it counts again once what is sent comes near it."""
    rate = RateControl(ceiling_bps=CEILING_BPS)
    for second in range(30):
        now_ns = second * NS_PER_S
        rate.on_packet_sent(30_000 // 8, now_ns)
        rate.on_remb(max(50_000, 2_000_000 >> second), now_ns + 1)
    assert rate.bitrate_bps == START_BPS
    rate.on_packet_sent(500_000 // 8, 30 * NS_PER_S)
    rate.on_remb(500_000, 30 * NS_PER_S + 1)
    assert rate.bitrate_bps == 425_000


def test_small_changes_are_left_alone() -> None:
    """a tenth down, a fifth up: below that the bitrate stays."""
    rate = busy()
    rate.on_remb(2_000_000, 1)
    before_bps = rate.bitrate_bps
    rate.on_remb(1_850_000, 2)
    rate.on_remb(2_350_000, 3)
    assert rate.bitrate_bps == before_bps


def report(rate: RateControl, lost: int, highest: int, at_ms: int) -> int:
    """A reception report; the bitrate after it."""
    rate.on_report(packets_lost=lost, highest_sequence=highest, now_ns=at_ms * NS_PER_MS)
    return rate.bitrate_bps


def test_loss_brings_it_down_and_quiet_lets_it_rise() -> None:
    """by the share lost, twice a second at most; then up by 8 % a second."""
    rate = RateControl(ceiling_bps=CEILING_BPS)
    report(rate, 0, 1000, 0)
    assert report(rate, 20, 1100, 300) == int(0.8 * START_BPS)
    assert report(rate, 40, 1200, 600) == int(0.8 * START_BPS)
    low_bps = report(rate, 60, 1300, 900)
    assert low_bps == int(0.64 * START_BPS)
    for second in range(1, 11):
        report(rate, 60, 1300 + 200 * second, 900 + 1000 * second)
    assert 1.8 * low_bps < rate.bitrate_bps <= 2.17 * low_bps


def test_reports_add_up_until_they_say_something() -> None:
    """a lossy link reports every few packets: three of four lost is no share to act on."""
    rate = RateControl(ceiling_bps=CEILING_BPS)
    report(rate, 0, 1000, 0)
    for n in range(1, 12):
        assert report(rate, n // 11, 1000 + 4 * n, 20 * n) == START_BPS
    assert report(rate, 1, 1052, 260) == START_BPS


def test_moderate_loss_changes_nothing() -> None:
    """between 2 and 10 percent retransmission does its work."""
    rate = RateControl(ceiling_bps=CEILING_BPS)
    for second in range(10):
        assert report(rate, 10 * second, 200 * second, 1000 * second) == START_BPS


def test_without_an_estimate_more_is_tried() -> None:
    """8 % a second as long as nothing is lost, up to the ceiling."""
    rate = RateControl(ceiling_bps=CEILING_BPS)
    rates = [report(rate, 0, 200 * second, 1000 * second) for second in range(20)]
    assert rates == sorted(rates)
    assert rates[-1] == CEILING_BPS


def test_a_floor_above_the_ceiling_is_refused() -> None:
    """the message says what is wrong."""
    with pytest.raises(ValueError, match="floor_bps is 250000, it must be above 0 and at most"):
        RateControl(ceiling_bps=100_000)


@given(
    ceiling=st.integers(FLOOR_BPS, 20_000_000),
    feedback=st.lists(
        st.one_of(
            st.integers(0, 2**40),
            st.tuples(st.integers(-100, 1000), st.integers(-10, 1000), st.integers(0, 5000)),
        )
    ),
)
def test_under_any_feedback_the_bounds_hold(
    ceiling: int, feedback: list[int | tuple[int, int, int]]
) -> None:
    """the bitrate stays between floor and ceiling, and never above what the receiver allows."""
    rate = RateControl(ceiling_bps=ceiling)
    lost = highest = at_ms = 0
    for one in feedback:
        if isinstance(one, int):
            rate.on_packet_sent(-(-one // 8), at_ms * NS_PER_MS)
            rate.on_remb(one, at_ms * NS_PER_MS)
            assert rate.bitrate_bps <= max(FLOOR_BPS, 0.85 * one / 0.9)
        else:
            lost, highest, at_ms = lost + one[0], highest + one[1], at_ms + one[2]
            report(rate, lost, highest, at_ms)
        assert FLOOR_BPS <= rate.bitrate_bps <= ceiling


def test_a_good_link_gets_every_frame() -> None:
    """from 0.4 Mbit/s at 832x480 and 24 fps on."""
    assert FrameSpacing().choose(PICTURE, 450_000, used_bps=450_000) == 1


def test_a_poor_link_gets_fewer_frames() -> None:
    """every second at the floor, every third where the picture is larger."""
    large = PictureFormat(pixels=1280 * 720, fps=24.0)
    assert FrameSpacing().choose(PICTURE, FLOOR_BPS, used_bps=FLOOR_BPS) == 2
    assert FrameSpacing().choose(large, FLOOR_BPS, used_bps=FLOOR_BPS) == 3


def test_a_picture_that_needs_little_keeps_its_frames() -> None:
    """however low the bitrate, as long as the encoder does not use it up; those left out come back
    once it does not, and a use between the two bounds changes nothing for the worse."""
    spacing = FrameSpacing()
    used_bps = (20_000, 250_000, 180_000, 140_000, 180_000)
    chosen = [spacing.choose(PICTURE, FLOOR_BPS, used_bps=used) for used in used_bps]
    assert chosen == [1, 2, 2, 1, 1]


def test_the_spacing_does_not_flutter() -> None:
    """a little more bitrate than the threshold is not enough to come back."""
    spacing = FrameSpacing()
    chosen = [
        spacing.choose(PICTURE, bps, used_bps=bps) for bps in (410_000, 395_000, 420_000, 480_000)
    ]
    assert chosen == [1, 2, 2, 1]


def test_a_link_that_falls_and_comes_back() -> None:
    """832x480 at 24 fps: first bits go, then every second frame, and nothing below the floor; all
    of it comes back. What the estimate has taken the losses do not take again."""
    rate, spacing, playout = (
        RateControl(ceiling_bps=CEILING_BPS),
        FrameSpacing(),
        Playout(chunk_frames=4),
    )
    frame_ms = 1000 / PICTURE.fps
    seconds: list[tuple[int, int]] = []  # the bitrate, frames sent
    link_bps = [4_000_000] * 5 + [600_000] * 5 + [200_000] * 10 + [60_000] * 5 + [3_000_000] * 40
    lost = sent = number = 0
    for second, capacity_bps in enumerate(link_bps):
        now_ns = (second + 1) * NS_PER_S
        sent_frames = 0
        over = max(0.0, 1 - capacity_bps / rate.bitrate_bps)
        while number < 24 * (second + 1):
            playout.push(
                [generated_frame((number + n) * frame_ms) for n in range(4)], ms(number * frame_ms)
            )
            for _ in range(4):
                due_ns = playout.due_ns()
                assert due_ns is not None
                sent_frames += playout.pop(due_ns) is not None
                playout.every_frames = spacing.choose(
                    PICTURE, rate.bitrate_bps, used_bps=rate.bitrate_bps
                )
            number += 4
        seconds.append((rate.bitrate_bps, sent_frames))
        sent, lost = sent + 100, lost + round(100 * over)
        rate.on_packet_sent(rate.bitrate_bps // 8, now_ns - 1)
        rate.on_remb(capacity_bps, now_ns)
        rate.on_report(packets_lost=lost, highest_sequence=sent, now_ns=now_ns)
    good, fair, poor, offline, back = (seconds[at] for at in (4, 9, 19, 24, -1))
    assert good == (3_400_000, 24)
    assert fair[0] <= 600_000 and fair[1] == 24
    assert poor == offline == (FLOOR_BPS, 12)
    assert back[0] > 2_000_000 and back[1] == 24
    assert playout.drops["thinned"] > 0


@given(st.lists(st.integers(1, 10**7)), st.integers(100, 10**7), st.floats(1, 120))
def test_frames_never_stop(bitrates_bps: list[int], pixels: int, fps: float) -> None:
    """at least every third frame is sent, whatever the link."""
    spacing, picture = FrameSpacing(), PictureFormat(pixels=pixels, fps=fps)
    for bitrate_bps in bitrates_bps:
        assert 1 <= spacing.choose(picture, bitrate_bps, used_bps=bitrate_bps) <= 3

"""The sender's estimate against scripted links: what it finds, how fast, and what it never does."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from slipstream_protocol.clock import NS_PER_MS
from slipstream_server.rtp.transport_report import WRAP_NS, ArrivalReport
from slipstream_server.send.bandwidth import FLOOR_BPS, START_BPS, PictureFormat, RateControl
from slipstream_server.send.delay_trend import DelayTrend, LinkUse
from slipstream_server.send.send_history import SEQUENCES, SendHistory, SentPacket

from tests.server.scripted_link import LinkScript, Moment, ScriptedCall

CEILING_BPS = 4_000_000
PICTURE = PictureFormat(pixels=640 * 480, fps=30.0)
STILL_BPS = 30_000.0
GOOD_BPS = 10_000_000.0


def call(link: LinkScript, *, demand_bps: float = GOOD_BPS, probes: bool = True) -> ScriptedCall:
    rate = RateControl(ceiling_bps=CEILING_BPS)
    return ScriptedCall(
        link, rate=rate, demand_bps=lambda at_ms: demand_bps, picture=PICTURE, probes=probes
    )


def between(moments: list[Moment], from_s: float, to_s: float) -> list[Moment]:
    return [one for one in moments if from_s * 1000 <= one.at_ms < to_s * 1000]


def dip(at_ms: int) -> float:
    """Six seconds of 300 kbit/s on a good link."""
    return 300_000 if 10_000 <= at_ms < 16_000 else GOOD_BPS


def test_a_good_link_is_used_up_to_the_ceiling() -> None:
    """within two seconds, and for good; the packets that probe are few."""
    one = call(LinkScript(capacity_bps=lambda at_ms: GOOD_BPS))
    moments = one.run(10)
    assert {moment.bitrate_bps for moment in between(moments, 2, 10)} == {CEILING_BPS}
    assert one.probe_bytes < 40_000


@pytest.mark.parametrize("demand_bps", [STILL_BPS, 200_000.0, 1_000_000.0])
def test_a_picture_that_needs_little_keeps_the_bitrate_and_all_its_frames(
    demand_bps: float,
) -> None:
    """an almost still one does not bring the estimate down; it needs no probing."""
    one = call(LinkScript(capacity_bps=lambda at_ms: GOOD_BPS), demand_bps=demand_bps)
    moments = one.run(30)
    assert all(moment.bitrate_bps >= START_BPS for moment in moments)
    assert all(moment.every_frames == 1 for moment in moments)
    assert one.probe_bytes == 0


def test_a_still_picture_on_a_poor_link_keeps_all_its_frames() -> None:
    """what there is is enough for it."""
    one = call(LinkScript(capacity_bps=lambda at_ms: 150_000), demand_bps=STILL_BPS)
    assert all(moment.every_frames == 1 for moment in one.run(20))


@pytest.mark.parametrize("demand_bps", [GOOD_BPS, 400_000.0])
def test_after_a_dip_the_old_rate_is_back_within_five_seconds(demand_bps: float) -> None:
    """within a second of the dip no more is sent than the link carries, and packets wait less than
    the queue holds; afterwards every frame is back at once."""
    one = call(LinkScript(capacity_bps=dip), demand_bps=demand_bps)
    moments = one.run(24)
    before_bps = between(moments, 9, 10)[-1].bitrate_bps
    low = between(moments, 11.5, 16)
    assert max(moment.bitrate_bps for moment in low) <= 330_000
    assert sorted(moment.delay_ms for moment in low)[len(low) // 2] < 150
    back = between(moments, 21, 24)
    assert min(moment.bitrate_bps for moment in back) >= min(before_bps, START_BPS)
    assert all(moment.every_frames == 1 for moment in between(moments, 19, 24))


def test_without_probes_a_dip_costs_longer() -> None:
    """a viewer without RTX: the rate rises by 8 % a second, and the losses' limit with it."""
    moments = call(LinkScript(capacity_bps=dip), probes=False).run(24)
    assert between(moments, 21, 22)[0].bitrate_bps < START_BPS
    assert between(moments, 23, 24)[-1].bitrate_bps > 300_000


def test_a_queue_is_told_from_losses() -> None:
    """for some seconds after it grew; packets that are lost at random are no queue."""
    lossy = call(LinkScript(capacity_bps=lambda at_ms: GOOD_BPS, lost=0.05))
    lossy.run(20)
    assert not lossy.rate.is_queueing(20_000 * NS_PER_MS)
    dipping = call(LinkScript(capacity_bps=dip))
    dipping.run(14)
    assert dipping.rate.is_queueing(14_000 * NS_PER_MS)
    assert not dipping.rate.is_queueing(60_000 * NS_PER_MS)


@pytest.mark.parametrize("capacity_bps", [300_000.0, 600_000.0, 1_000_000.0, 2_000_000.0])
@pytest.mark.parametrize("jitter_ms", [0.0, 20.0])
def test_a_narrow_link_is_filled_without_a_queue(capacity_bps: float, jitter_ms: float) -> None:
    """from two thirds of it on, and most of the time packets wait less than 120 ms."""
    link = LinkScript(capacity_bps=lambda at_ms: capacity_bps, jitter_ms=jitter_ms)
    moments = between(call(link).run(40), 10, 40)
    mean_bps = sum(moment.bitrate_bps for moment in moments) / len(moments)
    assert 0.65 * capacity_bps < mean_bps < 1.05 * capacity_bps
    delays_ms = sorted(moment.delay_ms for moment in moments)
    assert delays_ms[len(delays_ms) * 3 // 4] < 120 + jitter_ms


@pytest.mark.parametrize(
    "link",
    [
        LinkScript(capacity_bps=lambda at_ms: GOOD_BPS, lost=0.02),
        LinkScript(capacity_bps=lambda at_ms: GOOD_BPS, overtaken=0.05),
        LinkScript(capacity_bps=lambda at_ms: GOOD_BPS, jitter_ms=60),
    ],
)
def test_a_wide_link_with_faults_of_its_own_is_not_taken_for_a_narrow_one(link: LinkScript) -> None:
    """a few packets lost or overtaken at random, arrivals that jump."""
    moments = between(call(link).run(20), 5, 20)
    assert sum(moment.bitrate_bps for moment in moments) / len(moments) > START_BPS


@settings(max_examples=15, deadline=None)
@given(
    st.lists(st.integers(50_000, 10_000_000), min_size=1, max_size=4),
    st.sampled_from([STILL_BPS, GOOD_BPS]),
    st.integers(0, 2**16),
)
def test_under_any_link_the_bounds_hold(capacities: list[int], demand: float, seed: int) -> None:
    """of bitrate and spacing; and probes are a small part of a good second."""
    one = ScriptedCall(
        LinkScript(capacity_bps=lambda at_ms: capacities[at_ms // 2000], jitter_ms=10, lost=0.01),
        rate=RateControl(ceiling_bps=CEILING_BPS),
        demand_bps=lambda at_ms: demand,
        picture=PICTURE,
        seed=seed,
    )
    for moment in one.run(2.0 * len(capacities)):
        assert FLOOR_BPS <= moment.bitrate_bps <= CEILING_BPS
        assert 1 <= moment.every_frames <= 3
    assert one.probe_bytes * 8 < 400_000 * 2 * len(capacities)


def test_a_growing_and_an_emptying_queue_are_told_apart() -> None:
    """whatever zero the receiver's clock has; a pause of the picture begins anew."""
    trend, arrived_ms, seen = DelayTrend(), -(10**6), []
    steps = [33.0] * 30 + [45.0] * 20 + [20.0] * 25 + [33.0] * 40
    for number, step_ms in enumerate(steps):
        arrived_ms += step_ms  # type: ignore[assignment]
        trend.add(number * 33 * NS_PER_MS, int(arrived_ms * NS_PER_MS))
        seen.append(trend.use)
    assert set(seen[:30]) == {LinkUse.NORMAL}
    assert LinkUse.OVERUSE in seen[30:50] and LinkUse.UNDERUSE not in seen[30:50]
    assert LinkUse.UNDERUSE in seen[55:80]
    assert seen[-1] is LinkUse.NORMAL


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 300), st.sets(st.integers(0, 199)), st.integers(1, 50))
def test_each_packet_arrives_once(before: int, lost: set[int], per_report: int) -> None:
    """over all reports, though they repeat themselves and numbers and times wrap around."""
    history = SendHistory()
    skipped = SEQUENCES - before % 200
    for _ in range(skipped):
        history.next_sequence()
    sequences = [history.next_sequence() for _ in range(200)]
    for number, sequence in enumerate(sequences):
        history.add(sequence, SentPacket(sent_ns=number, size_bytes=1, probe=None))
    found = []
    start_ns = WRAP_NS - 100 * NS_PER_MS
    for first in range(0, 200, per_report):
        ticks = tuple(
            None if number in lost else (start_ns + number * NS_PER_MS) % WRAP_NS
            for number in range(first, min(200, first + per_report))
        )
        report = ArrivalReport(sequences[first], ticks)
        found += history.arrived(report)
        assert history.arrived(report) == []
    assert [packet.sent.sent_ns for packet in found] == sorted(set(range(200)) - lost)
    arrivals = [packet.arrived_ns for packet in found]
    assert arrivals == [start_ns + packet.sent.sent_ns * NS_PER_MS for packet in found]

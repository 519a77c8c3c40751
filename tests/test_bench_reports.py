"""The benchmarks' judgements: what counts as growth in a soak, and which faults strike when."""

import asyncio
import contextlib
import socket
from collections import Counter

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.bench.chaos import FAULTS, ChaosReport, Round, chaos_table, plan
from tests.bench.overloads import CASES as OVERLOADS
from tests.bench.overloads import FIXED, LADDER, OverloadsReport
from tests.bench.ranks import RanksPlayed, RanksReport, ranks_table
from tests.bench.relayed_link import relayed_link
from tests.bench.report import Refusal, Report, table
from tests.bench.senders import CASES, DIP_FROM_S, DIP_TO_S, Record, sender_figures
from tests.bench.soak import BOUNDS, course
from tests.pages import BENCHMARKS
from tests.server.scripted_link import LinkScript

MIB = "server RSS MiB"


@pytest.mark.parametrize("per_run", [0.0, 8.0, -100.0])
def test_noise_and_little_growth_do_not_count(per_run: float) -> None:
    """nor does what happens before the run has settled."""
    rng = np.random.default_rng(0)
    values = 150 + np.linspace(0, per_run, 300) + rng.normal(0, 2, 300)
    values[:60] -= np.linspace(80, 0, 60)
    assert not course(MIB, values.tolist()).grows


@pytest.mark.parametrize("per_run", [40.0, 400.0])
def test_a_leak_counts(per_run: float) -> None:
    """and its size is told."""
    rng = np.random.default_rng(0)
    values = 150 + np.linspace(0, per_run, 300) + rng.normal(0, 2, 300)
    found = course(MIB, values.tolist())
    assert found.grows
    assert found.growth == pytest.approx(per_run * 0.75, rel=0.1)
    assert found.last - found.first == pytest.approx(found.growth, rel=0.2)


@given(st.integers(0, 300), st.integers(0, 9))
def test_faults_strike_equally_often(rounds: int, seed: int) -> None:
    """each as often as any other, or once more; the same seed gives the same order."""
    chosen = plan(rounds, seed, list(FAULTS))
    counts = Counter(chosen)
    assert len(chosen) == rounds
    assert max(counts.values(), default=0) - min(counts[name] for name in FAULTS) <= 1
    assert chosen == plan(rounds, seed, list(FAULTS))


def test_a_lost_call_is_shown() -> None:
    """it counts among the rounds and not among the calls kept, and has no gap."""
    fault = next(iter(FAULTS))
    rounds = [Round(fault=fault, gap_ms=gap) for gap in (1000.0, None, 3000.0)]
    report = ChaosReport(date="", machine="", cores=2, seed=0, rounds=rounds)
    assert report.lost == 1
    assert chaos_table(report).splitlines()[2:] == [f"| {fault} | 3 | 2 | 2.0 | 3.0 |"]


def test_a_call_that_was_refused_is_shown() -> None:
    """below the figures of the others, with the server's own words."""
    refusal = Refusal(case="tiny: caller 2", reason="503: the device is full")
    report = Report(date="", machine="", cores=2, python="", cases=[], refusals=[refusal])
    assert table(report).splitlines()[2:] == [
        "",
        "tiny: caller 2: no call, 503: the device is full",
    ]


def test_every_quantity_has_a_bound() -> None:
    """one that is sampled and not judged would be no use."""
    assert all(bound > 0 for bound in BOUNDS.values())


@pytest.mark.parametrize("case", OVERLOADS)
def test_no_level_that_stays_is_better_than_the_ladder(case: str) -> None:
    """what `docs/measured.md` says of its table: none shows as many steps and misses as little."""
    report = msgspec.json.decode((BENCHMARKS / "ladder.json").read_bytes(), type=OverloadsReport)
    ladder, *others = sorted(
        (row for row in report.rows if row.case == case), key=lambda row: row.policy != LADDER
    )
    assert len(others) >= len(FIXED)
    assert not [
        row for row in others if row.missed <= ladder.missed and row.quality >= ladder.quality
    ]


def receiving_record(back_after_s: float) -> tuple[Record, dict[int, float]]:
    """30 pictures a second, each 50 ms old, and 1000 kbit/s; a third of both in the dip and after
    it, until `back_after_s` have passed."""
    shown, samples, drawn, received_bytes = [], [], {}, 0.0
    for number in range(26 * 30):
        at_s = number / 30
        is_low = DIP_FROM_S <= at_s < DIP_TO_S + back_after_s
        received_bytes += 125_000 / 30 / (3 if is_low else 1)
        drawn[number] = 1000 * at_s
        if not is_low or number % 3 == 0:
            shown.append((1000 * at_s + 50, number))
        if number % 8 == 0:
            samples.append((1000 * at_s + 50, int(received_bytes)))
    received = {"freezeCount": 2}
    return Record(shown=shown, samples=samples, received=received, codec="video/H264"), drawn


@pytest.mark.parametrize(("back_after_s", "told"), [(0.0, True), (4.0, True), (30.0, False)])
def test_the_time_until_a_sender_is_back_is_told(back_after_s: float, told: bool) -> None:
    """from the end of the dip, by bitrate and picture rate; none where it never came back."""
    case = CASES["6 s of 300 kbit/s"]
    figures = sender_figures(case, *receiving_record(back_after_s), began_ms=0.0)
    if not told:
        assert figures.back_s is None
        return
    assert figures.back_s == pytest.approx(back_after_s, abs=0.6)
    assert figures.glass_ms_p50 == pytest.approx(50)
    assert (figures.codec, figures.freezes) == ("H264", 2)
    assert figures.longest_gap_ms == pytest.approx(100)


OFFER = """v=0\r
m=video 9 UDP/TLS/RTP/SAVPF 96\r
c=IN IP4 0.0.0.0\r
a=candidate:1 1 udp 2130706431 192.0.2.7 5000 typ host\r
a=candidate:2 1 udp 2130706430 127.0.0.1 {port} typ host\r
a=mid:0\r
"""


async def test_a_relayed_link_stands_between_the_ends_of_a_call() -> None:
    """each is told the link's address for the other's, and gets what the other sends there."""
    loop = asyncio.get_running_loop()
    script = LinkScript(capacity_bps=lambda at_ms: 1e7, one_way_ms=1)
    ends = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2)]
    with contextlib.ExitStack() as cleanup:
        for end in ends:
            cleanup.enter_context(end)
            end.bind(("127.0.0.1", 0))
            end.setblocking(False)
        receiver, sender = ends
        async with relayed_link(script) as link, asyncio.timeout(5):
            told = [
                link.for_sender(OFFER.format(port=receiver.getsockname()[1])),
                link.for_receiver(OFFER.format(port=sender.getsockname()[1])),
            ]
            assert all("192.0.2.7" not in sdp and sdp.count("a=candidate") == 1 for sdp in told)
            ports = [int(sdp.split(" typ host")[0].rsplit(" ", 1)[1]) for sdp in told]
            for end, port, other in ((sender, ports[0], receiver), (receiver, ports[1], sender)):
                end.sendto(b"hello", ("127.0.0.1", port))
                data, source = await loop.sock_recvfrom(other, 100)
                assert data == b"hello"
                assert source[1] in ports


def test_each_plan_is_set_beside_one_rank_and_its_bound() -> None:
    """of its own device and steps."""
    report = RanksReport(
        date="",
        machine="",
        cores=2,
        load=0.0,
        python="",
        chunks=1,
        played=[
            RanksPlayed(
                device=device,
                steps=2,
                ranks=ranks,
                plan="layers",
                fps=fps,
                bound_fps=40.0,
                leader_ms=0.5,
            )
            for device, ranks, fps in (("a", 1, 10.0), ("b", 1, 9.0), ("a", 4, 36.0))
        ],
    )
    rows = ranks_table(report).splitlines()
    assert rows[2] == "| a | 2 | 1 | layers | 10.0 | 25% | 1.00 | 0.50 |"
    assert rows[4] == "| a | 2 | 4 | layers | 36.0 | 90% | 3.60 | 0.50 |"

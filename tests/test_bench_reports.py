"""The benchmarks' judgements: what counts as growth in a soak, and which faults strike when."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.bench.chaos import FAULTS, ChaosReport, Round, chaos_table, plan
from tests.bench.report import Refusal, Report, table
from tests.bench.soak import BOUNDS, course

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

"""The latency model: it learns lines, resists outliers, follows changes, and is bounded."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from slipstream_engine.scheduling.latency_model import MAX_MOVE, LatencyModel, LinearLatency

PRIOR = LinearLatency(base_ns=10e6, per_item_ns=10e6)
TRUTH = LinearLatency(base_ns=38e6, per_item_ns=18e6)
BATCHES = (1, 2, 3, 4, 8)


def learnt(truth: LinearLatency, *, noise: float, samples: int, seed: int = 1) -> LatencyModel:
    """A model that has seen `samples` passes of mixed sizes."""
    rng = random.Random(seed)
    model = LatencyModel(PRIOR)
    for _ in range(samples):
        items = rng.choice((1, 2, 3, 4))
        duration_ns = truth.at(items) * max(0.2, rng.gauss(1, noise))
        model.observe("step", items=items, duration_ns=duration_ns)
    return model


def test_a_prior_serves_until_there_is_a_sample() -> None:
    """a kind never seen has the common prior, one given a prior of its own has that."""
    model = LatencyModel(PRIOR, {"decode": TRUTH})
    assert model.line("encode") == PRIOR
    assert model.line("decode") == TRUTH
    assert (model.samples("encode"), model.samples("decode")) == (0, 0)
    assert model.spread("encode") == model.spread("decode") == 0.2


@pytest.mark.parametrize(
    "truth",
    [
        TRUTH,
        LinearLatency(base_ns=1e6, per_item_ns=50e6),
        LinearLatency(base_ns=50e6, per_item_ns=1e6),
    ],
)
@pytest.mark.parametrize("noise", [0.0, 0.05])
def test_both_numbers_are_learnt(truth: LinearLatency, noise: float) -> None:
    """a hundred passes of mixed sizes give L(B) within 5 %."""
    line = learnt(truth, noise=noise, samples=100).line("step")
    for items in BATCHES[:4]:
        assert line.at(items) == pytest.approx(truth.at(items), rel=0.05)


def test_the_spread_is_learnt() -> None:
    """the noise of a pass is found as a share of its mean, and none where there is none."""
    assert learnt(TRUTH, noise=0.2, samples=800).spread("step") == pytest.approx(0.2, abs=0.06)
    assert learnt(TRUTH, noise=0.0, samples=800).spread("step") < 0.01


@pytest.mark.parametrize("noise", [0.0, 0.05, 0.2])
@pytest.mark.parametrize("items", [1, 4])
def test_an_outlier_hardly_shows(noise: float, items: int) -> None:
    """one pass ten times too long moves no prediction by more than 5 %."""
    model = learnt(TRUTH, noise=noise, samples=200)
    before = model.line("step")
    model.observe("step", items=items, duration_ns=10 * TRUTH.at(items))
    after = model.line("step")
    for size in BATCHES:
        assert after.at(size) == pytest.approx(before.at(size), rel=0.05)


@pytest.mark.parametrize("factor", [2.0, 0.5])
def test_a_change_of_the_machine_is_followed(factor: float) -> None:
    """twice as slow, or as fast, is known within ten passes, at sizes not seen since as well."""
    model = learnt(TRUTH, noise=0.02, samples=200)
    for _ in range(10):
        model.observe("step", items=2, duration_ns=factor * TRUTH.at(2))
    line = model.line("step")
    for items in BATCHES:
        assert line.at(items) == pytest.approx(factor * TRUTH.at(items), rel=0.1)


def test_one_size_alone_does_not_spoil_the_others() -> None:
    """thousands of passes of one size leave the ratio of the two numbers where it was."""
    rng = random.Random(2)
    model = LatencyModel(TRUTH)
    for _ in range(3000):
        model.observe("step", items=1, duration_ns=TRUTH.at(1) * rng.gauss(1, 0.1))
    assert model.line("step").at(8) == pytest.approx(TRUTH.at(8), rel=0.15)


def test_kinds_do_not_mix() -> None:
    """what is seen of one kind changes nothing about another."""
    model = learnt(TRUTH, noise=0.0, samples=20)
    assert model.line("other") == PRIOR
    assert model.samples("step") == 20


@given(
    st.lists(
        st.tuples(st.integers(1, 64), st.floats(1.0, 1e12)),
        min_size=1,
        max_size=60,
    )
)
def test_no_observation_moves_a_prediction_far(samples: list[tuple[int, float]]) -> None:
    """whatever is observed, no L(B) moves by more than its bound, and all stay rising lines."""
    model = LatencyModel(PRIOR)
    for items, duration_ns in samples:
        before = model.line("step")
        model.observe("step", items=items, duration_ns=duration_ns)
        after = model.line("step")
        for size in (1, 2, 3, 7, 64, 1000):
            moved = abs(after.at(size) - before.at(size))
            assert moved <= MAX_MOVE * before.at(size) * (1 + 1e-9)
        assert after.base_ns >= 0 and after.per_item_ns > 0
        assert 0 < model.spread("step") < 2


def test_nonsense_is_refused() -> None:
    """the value, the rule."""
    model = LatencyModel(PRIOR)
    with pytest.raises(ValueError, match=r"items is 0, it must be at least 1"):
        model.observe("step", items=0, duration_ns=1)
    with pytest.raises(ValueError, match=r"duration_ns is 0, it must be above 0"):
        model.observe("step", items=1, duration_ns=0)
    with pytest.raises(ValueError, match=r"base_ns is -1, it must not be negative"):
        LinearLatency(base_ns=-1, per_item_ns=1)
    with pytest.raises(ValueError, match=r"per_item_ns is 0, it must be above 0"):
        LinearLatency(base_ns=1, per_item_ns=0)

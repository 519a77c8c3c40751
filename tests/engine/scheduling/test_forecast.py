"""scheduling/deadline_check.py: how long passes will take, part by part."""

import pytest
from slipstream_engine.scheduling.backlog import Backlog
from slipstream_engine.scheduling.deadline_check import Forecast
from slipstream_engine.scheduling.types import PassKind, Placement, Stage, StagePlan

from tests.engine.exact_device import MS, TINY, exact_model

ENCODE, STEP, DECODE = (PassKind(stage=stage, level="tiny") for stage in Stage)
TWO_RANKS = StagePlan(
    kinds=(ENCODE, STEP, STEP, DECODE), steps=(0, 0, 1, 0), ranks=(0, 1, 1, 0), ends=(1, 2, 3, 4)
)


def test_each_rank_has_the_time_of_its_own_stages() -> None:
    """and of what a pass costs once, its members share it."""
    forecast = Forecast(exact_model("tiny"), caution=0)
    assert forecast.rank_ns(TWO_RANKS, 1) == pytest.approx([30 * MS, 80 * MS])
    assert forecast.rank_ns(TWO_RANKS, 3) == pytest.approx([30 * MS, 40 * MS])
    assert forecast.shared_ns(TWO_RANKS, 3) == pytest.approx(70 * MS)


def test_caution_makes_a_pass_longer() -> None:
    """by as many standard deviations."""
    model = exact_model("tiny")
    passes = [Forecast(model, caution=caution).pass_ns(STEP, 2) for caution in (0, 1, 2)]
    assert passes[0] == pytest.approx(50 * MS)
    assert passes[1] - passes[0] == pytest.approx(model.spread(STEP) * passes[0])
    assert passes[2] - passes[1] == pytest.approx(passes[1] - passes[0])
    assert passes[1] > passes[0]


@pytest.mark.parametrize("late_ns", [-1000, 1000])
def test_what_is_done_elsewhere_is_as_uncertain(late_ns: int) -> None:
    """a chunk alone on two ranks ends as late, with caution, whichever of them is looked at."""
    backlog = Backlog(Placement(decode_rank=1))
    forecast = Forecast(exact_model("tiny"), caution=3)
    plan = backlog.plan(TINY)
    deadline_ns = round(forecast.remaining(plan)[0].cautious_ns) - late_ns
    backlog.open(0, period_ns=100 * MS)
    backlog.offer(0, 0, now_ns=0, deadline_ns=deadline_ns, shape=TINY)
    (chunk,) = backlog.queues[0].ready()
    chunk.slack_ns = 0
    assert forecast.all_in_time([chunk], 0) is (late_ns < 0)


def test_what_is_learnt_of_a_pass_counts_at_every_stage_of_its_kind() -> None:
    """and at no other, as if the model were asked anew; three samples of each make a plan known."""
    model = exact_model("other")
    forecast = Forecast(model, caution=1)
    before = forecast.remaining(TWO_RANKS)
    for kind in (ENCODE, STEP, DECODE):
        for _ in range(3):
            assert not forecast.is_known(TWO_RANKS)
            forecast.observe(kind, items=1, duration_ns=90 * MS)
        after, anew = forecast.remaining(TWO_RANKS), Forecast(model, caution=1)
        assert after == anew.remaining(TWO_RANKS) != before
        before = after
    assert forecast.is_known(TWO_RANKS)

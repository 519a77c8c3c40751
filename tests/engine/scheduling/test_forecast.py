"""scheduling/deadline_check.py: how long passes will take, part by part."""

import pytest
from slipstream_engine.scheduling.deadline_check import Forecast
from slipstream_engine.scheduling.types import PassKind, Stage, StagePlan

from tests.engine.exact_device import MS, exact_model

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

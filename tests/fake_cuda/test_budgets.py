"""The real sizes on a fake CUDA device: nothing that a GPU could not do, and nothing dearer."""

import pytest

from tests.fake_cuda.budgets import breaches, budget_of, read_budgets
from tests.fake_cuda.cases import CASES, account_of


@pytest.mark.parametrize("case", CASES)
def test_a_device_can_do_it(case: str) -> None:
    """No operation mixes host and device, no recorded function touches the host, at any number of
    steps, alone and in passes of 2 and 4; what would read the device's numbers would raise."""
    assert account_of(case).problems == ()


@pytest.mark.parametrize("case", CASES)
def test_no_step_waits(case: str) -> None:
    """The host waits for the device in no pass of the transformer."""
    stages = account_of(case).stages
    assert [name for name in stages if name.startswith("step") and stages[name].waits] == []


@pytest.mark.parametrize("case", CASES)
def test_the_budget_is_kept(case: str) -> None:
    """Launches, bytes moved and memory, stage by stage; `python -m tests.fake_cuda` writes the
    table anew where a change means to cost more, or less."""
    assert breaches(budget_of(account_of(case)), read_budgets()[case]) == []


@pytest.mark.parametrize(
    ("case", "stage", "tera"),
    [
        ("wan-1.3b taehv", "step", 6.74),
        ("wan-1.3b taehv eager", "step", 6.74),
        ("wan-1.3b taehv", "step x 4", 4 * 6.74),
        ("wan-14b wan", "step", 49.91),
        ("wan-1.3b wan", "encode", 8.05),
        ("wan-1.3b wan", "decode", 13.55),
        ("wan-1.3b wan+taehv", "encode", 8.05),
        ("wan-1.3b wan+taehv", "decode", 0.54),
        ("wan-1.3b taehv", "encode", 0.24),
    ],
)
def test_the_work_is_the_specified(case: str, stage: str, tera: float) -> None:
    """Operations are those of the roofline, whichever way a pass is run."""
    assert account_of(case).stages[stage].flop / 1e12 == pytest.approx(tera, abs=0.011)


@pytest.mark.parametrize(
    ("case", "gpu_gb", "streams"), [("wan-1.3b wan", 24, 2), ("wan-14b wan", 80, 1)]
)
def test_the_default_settings_fit(case: str, gpu_gb: int, streams: int) -> None:
    """The published presets at their own size, steps and codec."""
    assert account_of(case).streams_in(gpu_gb * 10**9) >= streams


def test_a_breach_is_found() -> None:
    """Above, far below, without a budget, and a budget without a stage."""
    assert breaches(
        {"a": 101, "b": 90, "c": 1, "d": 98}, {"a": 100, "b": 100, "d": 100, "e": 1}
    ) == [
        "a is 101, its budget 100",
        "b is 90, its budget 100",
        "c",
        "e",
    ]

"""Judging a replay: whatever is wrong with it is a fault of its case alone."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from tests.golden.case import Case, Replay, judge
from tests.golden.families import cases, run
from tests.golden.wan_vae import one_after_another, whole_latents

EXPECTED = torch.tensor([1.0, -2.0])
Write = Callable[..., Case]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """A function that writes a case with one output of one family."""

    def write(
        described: Mapping[str, Any], stored: Tensor = EXPECTED, *, family: str = "a"
    ) -> Case:
        tensors = {"out.x": {"role": "output", **described}}
        content = {"family": family, "config": {}, "tensors": tensors}
        (tmp_path / "one.json").write_text(json.dumps(content))
        save_file({"out.x": stored}, tmp_path / "one.safetensors")
        return Case(name="one", directory=tmp_path)

    return write


@pytest.mark.parametrize(
    "ours, is_pass",
    [
        (EXPECTED, True),
        (EXPECTED + 0.9e-3, True),
        (EXPECTED + 1.1e-3, False),
        (EXPECTED[None], False),
        (torch.tensor([1.0, float("nan")]), False),
        (torch.tensor([1.0, float("inf")]), False),
    ],
)
def test_a_tolerance_holds_for_every_number(write: Write, ours: Tensor, is_pass: bool) -> None:
    """Off by more, of another shape, NaN or infinite is a fault."""
    verdict = judge(write({"atol": 1e-3}), Replay(tensors={"out.x": ours}))
    assert verdict.is_pass == is_pass, str(verdict)


def test_zeros_have_no_tolerance(write: Write) -> None:
    """A tolerance of 0, which a tensor of zeros has, is met by zeros alone."""
    case = write({"atol": 0.0}, torch.zeros(2))
    assert judge(case, Replay(tensors={"out.x": torch.zeros(2)})).is_pass
    assert not judge(case, Replay(tensors={"out.x": torch.full((2,), 1e-30)})).is_pass


def test_whole_numbers_are_exact(write: Write) -> None:
    case = write({"exact": True}, torch.tensor([3, 4]))
    assert judge(case, Replay(tensors={"out.x": torch.tensor([3, 4])})).is_pass
    assert not judge(case, Replay(tensors={"out.x": torch.tensor([3, 5])})).is_pass


def test_what_is_not_made_needs_a_reason(write: Write) -> None:
    """A tensor that is not computed fails its case; one left out is listed with its reason."""
    case = write({"atol": 1e-3})
    assert "out.x was not computed" in str(judge(case, Replay()))
    verdict = judge(case, Replay(left_out={"out.*": "no use for it"}))
    assert verdict.is_pass
    assert "not reproduced: out.x: no use for it" in str(verdict)


def test_a_claim_that_does_not_hold_is_a_fault(write: Write) -> None:
    case = write({"atol": 1e-3})
    verdict = judge(case, Replay(tensors={"out.x": EXPECTED}, claims={"it is odd": False}))
    assert "fail: it is odd" in str(verdict)


@pytest.mark.parametrize(
    "family, text", [("a", "KeyError: 'shift'"), ("zz", "family is 'zz', known are a, b")]
)
def test_a_replay_that_breaks_fails_its_case(write: Write, family: str, text: str) -> None:
    """The run goes on, and the line says why."""
    verdict = run(write({"atol": 1e-3}, family=family))
    assert not verdict.is_pass
    assert text in str(verdict)


def test_a_listed_case_that_is_not_there_fails(tmp_path: Path) -> None:
    (tmp_path / "INDEX.json").write_text('{"cases": [{"case": "gone"}]}')
    (case,) = cases(tmp_path)
    assert "gone.json" in str(run(case))


def test_without_an_index_only_cases_are_cases(write: Write, tmp_path: Path) -> None:
    """Other JSON may lie beside them."""
    write({"atol": 1e-3})
    (tmp_path / "report.json").write_text("{}")
    assert [case.name for case in cases(tmp_path)] == ["one"]


def test_pieces_drop_what_is_no_whole_latent() -> None:
    """The reference takes groups of 4 frames after the first frame, and no rest."""
    assert one_after_another([5, 6, 4]) == [slice(0, 5), slice(5, 11), slice(11, 15)]
    assert whole_latents([5, 6, 4]) == [slice(0, 5), slice(5, 9), slice(11, 15)]
    assert whole_latents([1, 8]) == [slice(0, 1), slice(1, 9)]

"""cli/plan.py: the command `plan`."""

import argparse
from pathlib import Path

import msgspec
import pytest
from slipstream_engine.cli.plan import PlanReport, add_plan
from slipstream_engine.parallel.plan import write_plan


def run(*words: str) -> int:
    parser = argparse.ArgumentParser()
    add_plan(parser.add_subparsers())
    arguments = parser.parse_args(["plan", *words])
    status: int = arguments.run(arguments)
    return status


PAPER = ("--times", "h100-14b-480p", "--devices", "4")


def test_a_plan_is_shown_as_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    """the reason, what each rank runs, and what the other forms would give."""
    assert run(*PAPER, "--fps", "60") == 0
    shown = capsys.readouterr().out
    assert shown.startswith("layers over 4: a chunk every 121.5 ms, 3.82 times one device")
    assert "encode; blocks 0 to 7 of steps 0, 1, 2, 3" in shown
    assert "layers x steps" in shown


def test_a_plan_as_json_can_be_asked_for_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """what `--json` prints holds the plan's file; the same plan from a file has the same rate."""
    assert run(*PAPER, "--json") == 0
    report = msgspec.json.decode(capsys.readouterr().out, type=PlanReport)
    file = tmp_path / "plan.json"
    file.write_bytes(write_plan(report.plan))
    assert run(*PAPER, "--json", "--plan", str(file)) == 0
    again = msgspec.json.decode(capsys.readouterr().out, type=PlanReport)
    assert again.plan == report.plan and again.fps == report.fps
    assert again.reason == f"from {file}"


def test_times_are_read_from_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """of the model at hand."""
    file = tmp_path / "times.json"
    file.write_text('{"encode_ms": 5, "decode_ms": 5, "block_ms": [10, 10, 10]}')
    assert run("--times", str(file), "--devices", "1", "--steps", "1") == 0
    assert "one rank over 1: a chunk every 40.0 ms" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("--times", "no-such-file", "--devices", "2"), "no-such-file"),
        ((*PAPER, "--slowness", "1,2"), "slowness has 2 numbers for 4 devices"),
        ((*PAPER, "--steps", "1", "--plan", "steps"), "no plan of the form steps for 4 devices"),
    ],
)
def test_what_cannot_be_planned_is_said(
    words: tuple[str, ...], reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """on one line, and the status is 1."""
    assert run(*words) == 1
    assert reason in capsys.readouterr().err

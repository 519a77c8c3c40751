"""train/durations.py: durations that add up over the runs of a stage."""

from pathlib import Path

import pytest
from slipstream_engine.train.durations import DurationsFile, TrainingDurations


def test_runs_of_a_stage_add_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """a stage that was stopped and went on took both times; others keep theirs."""
    now_s = [100.0]
    monkeypatch.setattr("time.monotonic", lambda: now_s[0])
    durations = DurationsFile(path=tmp_path / "effort.json")
    with durations.timed("data"):
        now_s[0] += 30
    with pytest.raises(KeyboardInterrupt), durations.timed("dit"):
        now_s[0] += 90
        raise KeyboardInterrupt
    with durations.timed("dit"):
        now_s[0] += 60
    assert durations.read().seconds == {"data": 30.0, "dit": 150.0}


def test_the_line_is_in_minutes() -> None:
    """stages in the order they ran, then the machine."""
    durations = TrainingDurations(machine="2 cores", seconds={"data": 90.0, "dit": 3600.0})
    assert durations.line() == "Minutes it took: data 1.5, dit 60.0 (2 cores)."


def test_a_stage_that_cannot_begin_leaves_nothing(tmp_path: Path) -> None:
    """no folder is made for the time of a stage that made none."""
    durations = DurationsFile(path=tmp_path / "new" / "effort.json")
    with pytest.raises(ValueError, match="no data"), durations.timed("codec"):
        raise ValueError("no data")
    assert not durations.path.parent.exists()

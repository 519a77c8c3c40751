"""Which function replays which family; a new family is one more row."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import torch

from tests.golden import (
    balance,
    block_ranges,
    dit_forward,
    motion,
    rotary,
    scheduler,
    sequential,
    stream_batch,
    taehv,
)
from tests.golden.case import Case, Replay, Verdict, judge

FAMILIES: Mapping[str, Callable[[Case], Replay]] = {
    "a": scheduler.replay,
    "b": dit_forward.replay,
    "c": sequential.replay,
    "d": stream_batch.replay,
    "e": block_ranges.replay,
    "g": taehv.replay,
    "i": motion.replay,
    "j": balance.replay,
    "k": rotary.replay,
}


def cases(directory: Path) -> list[Case]:
    """Every case of a directory: those its INDEX.json lists, or without one all that lie there.

    Raises:
        ValueError: if there is none.
    """
    index = directory / "INDEX.json"
    if index.is_file():
        names = [entry["case"] for entry in json.loads(index.read_text())["cases"]]
    else:
        names = sorted(path.stem for path in directory.glob("*.json"))
    if not names:
        raise ValueError(f"{directory} holds no case, give a directory of golden vectors")
    return [Case(name=name, directory=directory) for name in names]


@torch.inference_mode()
def run(case: Case) -> Verdict:
    """Replay one case and judge it."""
    return judge(case, FAMILIES[case.family](case))

"""Which function replays which family; a new family is one more row."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import torch

from tests.golden import dit_forward, rotary, scheduler, sequential, stream_batch
from tests.golden.case import Case, Replay, Verdict, judge

FAMILIES: Mapping[str, Callable[[Case], Replay]] = {
    "a": scheduler.replay,
    "b": dit_forward.replay,
    "c": sequential.replay,
    "d": stream_batch.replay,
    "k": rotary.replay,
}


def cases(directory: Path) -> list[Case]:
    """Every case of a directory, in the order of its INDEX.json.

    Raises:
        ValueError: if there is no INDEX.json.
    """
    index = directory / "INDEX.json"
    if not index.is_file():
        raise ValueError(f"{directory} holds no INDEX.json, give a directory of golden vectors")
    return [
        Case(name=entry["case"], directory=directory)
        for entry in json.loads(index.read_text())["cases"]
    ]


@torch.inference_mode()
def run(case: Case) -> Verdict:
    """Replay one case and judge it."""
    return judge(case, FAMILIES[case.family](case))

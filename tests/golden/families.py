"""The function that replays each family; a new family is one more row."""

import json
import logging
import math
from collections.abc import Callable, Mapping
from pathlib import Path

import torch

from tests.golden import (
    balance,
    block_ranges,
    dit_forward,
    end_to_end,
    motion,
    rotary,
    scheduler,
    sequential,
    stream_batch,
    taehv,
    text,
    wan_vae,
)
from tests.golden.case import Case, Replay, Verdict, judge

logger = logging.getLogger(__name__)

FAMILIES: Mapping[str, Callable[[Case], Replay]] = {
    "a": scheduler.replay,
    "b": dit_forward.replay,
    "c": sequential.replay,
    "d": stream_batch.replay,
    "e": block_ranges.replay,
    "f": wan_vae.replay,
    "g": taehv.replay,
    "h": text.replay,
    "i": motion.replay,
    "j": balance.replay,
    "k": rotary.replay,
    "l": end_to_end.replay,
}


def cases(directory: Path) -> list[Case]:
    """Every case of a directory: those its INDEX.json lists, or without an index all JSON files.

    Raises:
        ValueError: if there is none.
    """
    index = directory / "INDEX.json"
    if index.is_file():
        names = [entry["case"] for entry in json.loads(index.read_text())["cases"]]
    else:
        names = sorted(
            path.stem for path in directory.glob("*.json") if '"family"' in path.read_text()
        )
    if not names:
        raise ValueError(f"{directory} holds no case, give a directory of golden vectors")
    return [Case(name=name, directory=directory) for name in names]


def run(case: Case) -> Verdict:
    """Replay one case and judge it; an exception is a fault of this case, and the run goes on."""
    try:
        if case.family not in FAMILIES:
            raise ValueError(f"family is {case.family!r}, known are {', '.join(FAMILIES)}")
        with torch.inference_mode():
            return judge(case, FAMILIES[case.family](case))
    except Exception as error:
        logger.exception("case %s broke", case.name)
        return Verdict(
            name=case.name,
            compared=0,
            worst=math.inf,
            faults=(f"{type(error).__name__}: {error}",),
            left_out={},
            notes=(),
        )

"""What a training took: the machine, and the time of each stage over all the runs it went on in."""

import os
import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec
import torch

from slipstream_engine.atomic_file import atomic_write


def machine() -> str:
    """Where this runs, in a few words."""
    return (
        f"{os.cpu_count()} cores of {platform.machine()}, {torch.get_num_threads()} of them used, "
        f"torch {torch.__version__}"
    )


class TrainingEffort(msgspec.Struct, frozen=True, kw_only=True):
    """Seconds by stage, and the machine of the last one."""

    machine: str
    seconds: dict[str, float]

    def line(self) -> str:
        """One line for people."""
        parts = [f"{name} {seconds / 60:.1f}" for name, seconds in self.seconds.items()]
        return f"Minutes it took: {', '.join(parts)} ({self.machine})."


@dataclass(frozen=True, slots=True, kw_only=True)
class EffortFile:
    """An `TrainingEffort` kept in `path`."""

    path: Path

    def read(self) -> TrainingEffort:
        if not self.path.is_file():
            return TrainingEffort(machine=machine(), seconds={})
        return msgspec.json.decode(self.path.read_bytes(), type=TrainingEffort)

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        """Add what passes inside to `stage`, also where it is stopped."""
        began_s = time.monotonic()
        try:
            yield
        finally:
            if self.path.parent.is_dir():  # a stage that could not begin leaves nothing behind
                self._add(stage, time.monotonic() - began_s)

    def _add(self, stage: str, spent_s: float) -> None:
        seconds = self.read().seconds
        total_s = round(seconds.get(stage, 0.0) + spent_s, 1)
        effort = TrainingEffort(machine=machine(), seconds=seconds | {stage: total_s})
        with atomic_write(self.path) as file:
            file.write(msgspec.json.encode(effort))

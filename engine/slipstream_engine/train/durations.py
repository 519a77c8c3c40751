"""How long each stage of a training took over all its runs, and on what machine."""

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


def machine_description() -> str:
    """This machine in a few words."""
    return (
        f"{os.cpu_count()} cores of {platform.machine()}, {torch.get_num_threads()} of them used, "
        f"torch {torch.__version__}"
    )


class TrainingDurations(msgspec.Struct, frozen=True, kw_only=True):
    """Seconds by stage, and the machine of the last one."""

    machine: str
    seconds: dict[str, float]

    def line(self) -> str:
        """The durations as one line of text."""
        parts = [f"{name} {seconds / 60:.1f}" for name, seconds in self.seconds.items()]
        return f"Minutes it took: {', '.join(parts)} ({self.machine})."


@dataclass(frozen=True, slots=True, kw_only=True)
class DurationsFile:
    """A `TrainingDurations` stored in `path`."""

    path: Path

    def read(self) -> TrainingDurations:
        if not self.path.is_file():
            return TrainingDurations(machine=machine_description(), seconds={})
        return msgspec.json.decode(self.path.read_bytes(), type=TrainingDurations)

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        """Add the duration of the block to `stage`, even if the block fails."""
        began_s = time.monotonic()
        try:
            yield
        finally:
            if self.path.parent.is_dir():  # a stage that could not begin leaves nothing behind
                self._add(stage, time.monotonic() - began_s)

    def _add(self, stage: str, spent_s: float) -> None:
        seconds = self.read().seconds
        total_s = round(seconds.get(stage, 0.0) + spent_s, 1)
        durations = TrainingDurations(
            machine=machine_description(), seconds=seconds | {stage: total_s}
        )
        with atomic_write(self.path) as file:
            file.write(msgspec.json.encode(durations))

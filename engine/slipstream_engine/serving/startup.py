"""From a preset that can be loaded to a pipeline that is warm, measured, and fast enough here."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from slipstream_engine.scheduling.latency_model import LatencyModel
from slipstream_engine.serving.calibration import calibrate
from slipstream_engine.serving.pipeline_protocol import Pipeline
from slipstream_engine.serving.resolution import ResolutionChoice

logger = logging.getLogger(__name__)

Load = Callable[[tuple[int, int] | None], Pipeline[Any]]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Prepared:
    """A pipeline that can serve.

    Args:
        latency: what its passes take.
        note: how its size was chosen, for people; empty where there was no choice.
    """

    pipeline: Pipeline[Any]
    latency: LatencyModel
    note: str = ""


def prepare(load: Load, choice: ResolutionChoice | None, say: Callable[[str], None]) -> Prepared:
    """Load, warm up, and rehearse; where there is a choice, the rehearsal is what decides it.

    So a machine that keeps up at the largest size starts as fast as one that was told its size.
    Each size that is too large costs the seconds in which it was tried.

    Args:
        load: a cold pipeline of that width and height, or of its own where there is no choice.
        say: told what takes so long, for people.
    """
    while True:
        size_px = choice.size_px if choice else None
        pipeline = load(size_px)
        try:
            say("warming up" if size_px is None else f"warming up at {size_px[0]}x{size_px[1]}")
            pipeline.warm_up()
            rehearsal = calibrate(pipeline)
        except BaseException:
            pipeline.close()
            raise
        if choice is None:
            return Prepared(pipeline=pipeline, latency=rehearsal.latency)
        if choice.judge(rehearsal.steady_chunk_ns):
            logger.info("%s", choice.note)
            return Prepared(pipeline=pipeline, latency=rehearsal.latency, note=choice.note)
        pipeline.close()

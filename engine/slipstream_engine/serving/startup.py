"""Loads a pipeline, warms it up and measures it, at a size at which the machine keeps up."""

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
class PreparedPipeline:
    """A pipeline that can serve.

    Args:
        latency: what its passes take, as measured.
        note: how its size was chosen, for people; empty where there was no choice.
    """

    pipeline: Pipeline[Any]
    latency: LatencyModel
    note: str = ""


def prepare(
    load: Load, choice: ResolutionChoice | None, report: Callable[[str], None]
) -> PreparedPipeline:
    """Load, warm up and calibrate; where there is a choice of sizes, the calibration decides it.

    A machine that keeps up at the largest size starts as fast as one whose size is configured.
    Each size that is too large costs the seconds in which it was tried.

    Args:
        load: loads a pipeline of that width and height in pixels, or of its preset's for None.
        choice: of the sizes to try; None where the size is given.
        report: called with what is being done, for people.
    """
    while True:
        size_px = choice.size_px if choice else None
        pipeline = load(size_px)
        try:
            report("warming up" if size_px is None else f"warming up at {size_px[0]}x{size_px[1]}")
            pipeline.warm_up()
            calibration = calibrate(pipeline)
        except BaseException:
            pipeline.close()
            raise
        if choice is None:
            return PreparedPipeline(pipeline=pipeline, latency=calibration.latency)
        if choice.judge(calibration.steady_chunk_ns):
            logger.info("%s", choice.note)
            return PreparedPipeline(
                pipeline=pipeline, latency=calibration.latency, note=choice.note
            )
        pipeline.close()

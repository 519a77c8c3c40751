"""Loads a pipeline, warms it up and measures it, at a size at which the machine keeps up."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from slipstream_protocol.frames import FrameSize

from slipstream_engine.scheduling.latency_model import LatencyModel
from slipstream_engine.serving.calibration import Calibration, calibrate, latency_of
from slipstream_engine.serving.pipeline_protocol import Pipeline
from slipstream_engine.serving.resolution import ResolutionChoice

logger = logging.getLogger(__name__)

Load = Callable[[FrameSize | None], Pipeline[Any]]


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
    """Load, warm up and calibrate; where there is a choice of sizes to begin with, the calibration
    decides it.

    A machine that keeps up at the largest size starts as fast as one whose size is configured.
    Each size that is too large costs the seconds in which it was tried.

    Args:
        load: loads a pipeline with all its sizes, or with that one only.
        choice: of the sizes to try; None where the size is given.
        report: called with what is being done, for people.
    """
    pipeline = load(None)
    measured: list[Calibration] = []
    while True:
        sizes = [one.size for one in pipeline.sizes]
        try:
            if choice is not None and choice.size in sizes:
                pipeline.begin_at(choice.size)
            report("warming up" if choice is None else f"warming up at {choice.size}")
            pipeline.warm_up()
            measured.append(calibrate(pipeline))
            latency = latency_of(measured, sizes)
        except BaseException:
            pipeline.close()
            raise
        if choice is None:
            return PreparedPipeline(pipeline=pipeline, latency=latency)
        if choice.judge(measured[-1].steady_chunk_ns):
            logger.info("%s", choice.note)
            return PreparedPipeline(pipeline=pipeline, latency=latency, note=choice.note)
        if choice.size not in sizes:  # as those of a group of ranks, which has one
            pipeline.close()
            pipeline, measured = load(choice.size), []

"""The engine process that a server starts, once it is confined."""

import argparse
import logging
import os
import signal
import socket
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from typing import Any

from slipstream_protocol.arena import Arena, Layout, largest_geometry
from slipstream_protocol.channel import ChannelClosed, engine_end
from slipstream_protocol.clock import NS_PER_MS
from slipstream_protocol.frames import FrameSize
from slipstream_protocol.messages import Failed, Loading

from slipstream_engine.cli.options import model_request
from slipstream_engine.config import CHUNK_FRAMES
from slipstream_engine.errors import DeviceLostError
from slipstream_engine.frame_sizes import CAMERA_ASPECTS
from slipstream_engine.optional_packages import require_model_packages
from slipstream_engine.serving.echo import EchoPipeline
from slipstream_engine.serving.loop import Loop
from slipstream_engine.serving.pipeline_protocol import Pipeline
from slipstream_engine.serving.resolution import ResolutionChoice
from slipstream_engine.serving.startup import prepare
from slipstream_engine.serving.step_time import StepTime

logger = logging.getLogger(__name__)

_IGNORED = signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2
ECHO_SIZES = (FrameSize(640, 480), FrameSize(480, 360))


def run_engine(arguments: argparse.Namespace) -> int:
    """Load and warm up a pipeline, announce it, and run until the server closes the channel."""
    for number in _IGNORED:  # the server decides when to stop
        signal.signal(number, signal.SIG_IGN)
    with ExitStack() as opened:
        channel = engine_end(socket.socket(fileno=arguments.channel_fd))
        opened.callback(channel.close)
        try:
            channel.send(Loading(stage=f"loading {arguments.pipeline} {arguments.preset}"))
            prepared = prepare(
                partial(load_pipeline, arguments),
                resolution_choice(arguments),
                lambda stage: channel.send(Loading(stage=stage)),
            )
            pipeline = prepared.pipeline
            opened.callback(pipeline.close)
            layout = Layout(
                geometry=largest_geometry(pipeline.geometry, (one.size for one in pipeline.sizes)),
                lanes=arguments.max_streams,
                in_slots=1,
                out_slots=2,
            )
            arena = Arena.create(layout)
            opened.callback(arena.close)
        except ChannelClosed:
            return 0
        except Exception as error:  # the server shows the reason to its clients
            logger.exception("the engine could not start")
            channel.send(Failed(lane=-1, reason=f"{type(error).__name__}: {error}"))
            return 1
        loop = Loop(
            pipeline,
            channel,
            arena,
            age_target_ns=round(arguments.age_ms_target * NS_PER_MS),
            latency=prepared.latency,
            note=prepared.note,
        )
        try:
            loop.run()
        except DeviceLostError as error:
            logger.critical("%s", error)
            logging.shutdown()
            os._exit(1)  # a device in this state may keep everything else from ending
    return 0


def load_pipeline(arguments: argparse.Namespace, size: FrameSize | None = None) -> Pipeline[Any]:
    """Load the pipeline that the arguments name, without warming it up.

    A size that is named, here or by them, is the only one that it offers.

    Args:
        size: of frames; None for that of the arguments, or those of the preset.

    Raises:
        ValueError: if the preset, the size, the device or another option is not possible.
        OSError: if weights, or the time of echo's steps, cannot be read.
        MissingExtraError: if torch is not installed.
    """
    if arguments.pipeline == "echo":
        return _echo(arguments)
    if arguments.echo_steps is not None:
        raise ValueError(
            f"--echo-steps is {arguments.echo_steps}, which goes with --pipeline echo only; leave "
            "it out"
        )
    require_model_packages()
    from slipstream_engine.weights.group import load_model

    request = model_request(arguments)
    size_px = request.size_px if size is None else (size.width_px, size.height_px)
    return load_model(replace(request, size_px=size_px, max_streams=arguments.max_streams))


def _echo(arguments: argparse.Namespace) -> EchoPipeline:
    file = arguments.echo_steps
    step_time = None if file is None else StepTime(file)
    if arguments.size is not None:
        width_px, height_px = arguments.size
        return EchoPipeline(width_px=width_px, height_px=height_px, step_time=step_time)
    own, *smaller = ECHO_SIZES
    return EchoPipeline(
        width_px=own.width_px,
        height_px=own.height_px,
        smaller=tuple(smaller),
        aspects=CAMERA_ASPECTS,
        step_time=step_time,
    )


def resolution_choice(arguments: argparse.Namespace) -> ResolutionChoice | None:
    """The sizes to choose from by measurement; None where there is only one."""
    if arguments.pipeline == "echo" or arguments.size is not None:
        return None
    require_model_packages()
    from slipstream_engine.weights.factory import preset_named

    preset = preset_named(arguments.preset)
    if not preset.smaller_sizes_px:
        return None
    return ResolutionChoice(preset.scales, fps=preset.fps, chunk_frames=CHUNK_FRAMES)

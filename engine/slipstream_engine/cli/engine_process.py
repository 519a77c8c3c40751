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

from slipstream_protocol.arena import Arena, Layout
from slipstream_protocol.channel import ChannelClosed, engine_end
from slipstream_protocol.clock import NS_PER_MS
from slipstream_protocol.messages import Failed, Loading

from slipstream_engine.cli.options import model_request
from slipstream_engine.config import CHUNK_FRAMES
from slipstream_engine.errors import DeviceLostError
from slipstream_engine.optional_packages import require_model_packages
from slipstream_engine.serving.echo import EchoPipeline
from slipstream_engine.serving.loop import Loop
from slipstream_engine.serving.pipeline_protocol import Pipeline
from slipstream_engine.serving.resolution import ResolutionChoice
from slipstream_engine.serving.startup import prepare

logger = logging.getLogger(__name__)

ECHO_SIZE_PX = (640, 480)


def run_engine(arguments: argparse.Namespace) -> int:
    """Load and warm up a pipeline, announce it, and run until the server closes the channel."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the server decides when to stop
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
                geometry=pipeline.geometry, lanes=arguments.max_streams, in_slots=1, out_slots=2
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


def load_pipeline(
    arguments: argparse.Namespace, size_px: tuple[int, int] | None = None
) -> Pipeline[Any]:
    """Load the pipeline that the arguments name, without warming it up.

    Args:
        size_px: width and height of a frame; None for that of the arguments or the preset.

    Raises:
        ValueError: if the preset, the size or the device is not possible.
        OSError: if weights cannot be read.
        MissingExtraError: if torch is not installed.
    """
    if arguments.pipeline == "echo":
        width_px, height_px = size_px or arguments.size or ECHO_SIZE_PX
        return EchoPipeline(width_px=width_px, height_px=height_px)
    require_model_packages()
    from slipstream_engine.weights.group import load_model

    request = model_request(arguments)
    return load_model(
        replace(request, size_px=size_px or request.size_px, max_streams=arguments.max_streams)
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
    sizes_px = ((preset.width_px, preset.height_px), *preset.smaller_sizes_px)
    return ResolutionChoice(sizes_px, fps=preset.fps, chunk_frames=CHUNK_FRAMES)

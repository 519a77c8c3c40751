"""`slipstream-engine rank`: a further rank of a group, started by its leader only."""

import argparse
import contextlib
import ctypes
import logging
import os
import signal
import socket
import sys
from pathlib import Path
from typing import Any

from slipstream_protocol.channel import Channel, ChannelClosed

from slipstream_engine.diffusion.pipeline import DiffusionPipeline
from slipstream_engine.group.fingerprint import fingerprint
from slipstream_engine.group.messages import RankFailed, Setup, ToRank
from slipstream_engine.group.serve_rank import serve_rank
from slipstream_engine.weights.bundle import weight_files
from slipstream_engine.weights.group import load_share

logger = logging.getLogger(__name__)

_SET_PARENT_DEATH_SIGNAL = 1


def add_rank(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to the engine's command line."""
    parser = commands.add_parser("rank", help="run a rank of the engine that started it")
    parser.add_argument("--channel-fd", type=int, required=True, help="inherited socket")
    parser.set_defaults(run=run_rank)


def run_rank(arguments: argparse.Namespace) -> int:
    """Load this rank's share of the model, and work until the leader says so or is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the leader decides when to stop
    _end_with_parent()
    sock = socket.socket(fileno=arguments.channel_fd)
    channel: Channel[Any] = Channel(sock, ToRank, other="the leader")
    with contextlib.closing(channel):
        try:
            setup = channel.receive()
        except ChannelClosed:
            return 1
        assert isinstance(setup, Setup), "the leader sends it first"
        try:
            files = () if setup.random_weights else weight_files(setup.config, Path(setup.weights))
            found = fingerprint(files)
            pipeline = DiffusionPipeline(setup.config, load_share(setup))
            serve_rank(setup, channel, pipeline, fingerprint=found)
        except Exception as error:  # the leader is told, and ends the group
            logger.exception("rank %s fails", setup.rank)
            with contextlib.suppress(ChannelClosed):
                channel.send(RankFailed(rank=setup.rank, reason=f"{type(error).__name__}: {error}"))
            return 1
    logging.shutdown()
    os._exit(0)  # what torch does at the end of a process takes seconds


def _end_with_parent() -> None:
    """Have the kernel kill this process when its parent is gone, even while it is stopped."""
    parent = os.getppid()
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_SET_PARENT_DEATH_SIGNAL, int(signal.SIGKILL))
    if parent == 1 or os.getppid() != parent:
        os._exit(1)

"""The engine's command line; only `serve` is spoken to by the server."""

import argparse
import logging
import os
import signal
import socket
import sys
from collections.abc import Sequence
from contextlib import ExitStack, nullcontext
from functools import partial
from typing import Any

from slipstream_protocol.arena import Arena, Layout
from slipstream_protocol.channel import Channel, ChannelClosed
from slipstream_protocol.clock import NS_PER_MS
from slipstream_protocol.messages import Failed, Loading

from slipstream_engine.atomic_file import stopped_in_order
from slipstream_engine.cli.options import add_machine, count, size_px
from slipstream_engine.config import DEFAULT_PRESET
from slipstream_engine.errors import MissingExtraError
from slipstream_engine.optional_packages import optional
from slipstream_engine.serving.echo import EchoPipeline
from slipstream_engine.serving.loop import Loop
from slipstream_engine.serving.pipeline_protocol import Pipeline
from slipstream_engine.serving.resolution import ResolutionChoice
from slipstream_engine.serving.startup import prepare

logger = logging.getLogger(__name__)


def milliseconds(text: str) -> float:
    """A time above 0; for argparse."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is given, it must be a number above 0")
    return value


def add_serve(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = commands.add_parser("serve", help="serve chunks to the server that started this")
    parser.add_argument("--channel-fd", type=int, required=True, help="inherited socket")
    parser.add_argument("--pipeline", choices=("diffusion", "echo"), default="diffusion")
    parser.add_argument(
        "--preset", default=DEFAULT_PRESET, help="model, for the diffusion pipeline"
    )
    parser.add_argument("--size", type=size_px, help="WxH of a frame; as preset and machine allow")
    parser.add_argument("--codec", help="wan, taehv, or one for each way: wan+taehv")
    parser.add_argument("--max-streams", type=count, default=1)
    add_machine(parser)
    parser.add_argument(
        "--age-ms-target",
        type=milliseconds,
        default=1000.0,
        help="age of its oldest frame by which a chunk should be made (default: 1000)",
    )
    parser.set_defaults(run=serve)


def add_tools(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Every command but `serve`."""
    from slipstream_engine.bench.command import add_bench
    from slipstream_engine.cli.inspect import add_inspect
    from slipstream_engine.offline.v2v import add_v2v
    from slipstream_engine.simulation.command import add_simulate
    from slipstream_engine.train.command import add_train_tiny
    from slipstream_engine.weights.download import add_pull

    add_bench(commands)
    add_inspect(commands)
    add_pull(commands)
    add_simulate(commands)
    add_train_tiny(commands)
    add_v2v(commands)


def need_models() -> None:
    """Raise MissingExtraError if what every model is made of is not installed."""
    for module in ("torch", "einops", "safetensors"):
        optional(module, extra="engine")


def load_pipeline(
    arguments: argparse.Namespace, size_px: tuple[int, int] | None = None
) -> Pipeline[Any]:
    """The pipeline asked for, loaded but cold.

    Args:
        size_px: width and height of a frame; what the arguments or the preset say where not given.

    Raises:
        ValueError: if the preset, the size or the device is not possible.
        OSError: if weights cannot be read.
        MissingExtraError: if torch is not installed.
    """
    if arguments.pipeline == "echo":
        width_px, height_px = size_px or arguments.size or (640, 480)
        return EchoPipeline(width_px=width_px, height_px=height_px)
    need_models()
    from slipstream_engine.config import Compilation
    from slipstream_engine.weights.factory import ModelRequest, load_diffusion

    return load_diffusion(
        ModelRequest(
            preset=arguments.preset,
            size_px=size_px or arguments.size,
            device=arguments.device,
            weights=arguments.weights,
            codec=arguments.codec,
            max_streams=arguments.max_streams,
            threads=arguments.threads,
            compilation=Compilation(arguments.compile),
        )
    )


def size_choice(arguments: argparse.Namespace) -> ResolutionChoice | None:
    """What a measurement has to decide; None where the size is given or the preset has only one."""
    if arguments.pipeline == "echo" or arguments.size is not None:
        return None
    need_models()
    from slipstream_engine.config import CHUNK_FRAMES
    from slipstream_engine.weights.factory import preset_named

    preset = preset_named(arguments.preset)
    if not preset.lesser_sizes_px:
        return None
    sizes_px = ((preset.width_px, preset.height_px), *preset.lesser_sizes_px)
    return ResolutionChoice(sizes_px, fps=preset.fps, chunk_frames=CHUNK_FRAMES)


def serve(arguments: argparse.Namespace) -> int:
    """Load, warm up, announce, and run until the server hangs up."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the server decides when to stop
    with ExitStack() as opened:
        channel = Channel(socket.socket(fileno=arguments.channel_fd))
        opened.callback(channel.close)
        try:
            channel.send(Loading(stage=f"loading {arguments.pipeline} {arguments.preset}"))
            prepared = prepare(
                partial(load_pipeline, arguments),
                size_choice(arguments),
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
        except Exception as error:  # the server shows the reason to whoever waits
            logger.exception("the engine could not start")
            channel.send(Failed(lane=-1, reason=f"{type(error).__name__}: {error}"))
            return 1
        Loop(
            pipeline,
            channel,
            arena,
            age_target_ns=round(arguments.age_ms_target * NS_PER_MS),
            latency=prepared.latency,
            note=prepared.note,
        ).run()
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    words = sys.argv[1:] if argv is None else argv
    # a pool of threads that spins for work starves all else on a machine with few cores, yet trains
    # 1.3 times as fast; this must stand before torch is loaded
    if list(words[:1]) != ["train-tiny"]:
        os.environ.setdefault("GOMP_SPINCOUNT", "0")
    parser = argparse.ArgumentParser(prog="slipstream-engine", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    add_serve(commands)
    is_tool = list(words[:1]) != ["serve"]
    if is_tool:  # an echo engine starts without torch
        try:
            need_models()
        except MissingExtraError as error:
            print(f"slipstream-engine: {error}", file=sys.stderr)
            return 1
        add_tools(commands)
    arguments = parser.parse_args(words)
    logging.basicConfig(
        level=os.environ.get("SLIPSTREAM_LOG", "INFO"),
        format="%(asctime)s engine %(levelname)s %(name)s: %(message)s",
        stream=sys.stderr,
    )
    with stopped_in_order() if is_tool else nullcontext():
        result: int = arguments.run(arguments)
    return result


if __name__ == "__main__":
    sys.exit(main())

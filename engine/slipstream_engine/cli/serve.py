"""`slipstream-engine serve`: the engine of a server. It confines itself before it does anything.

What it runs then is imported only afterwards, as importing it starts threads
(`sandbox/confinement.py`).
"""

import argparse
import logging
from pathlib import Path

from slipstream_engine.cli.options import add_model_options, count, milliseconds
from slipstream_engine.sandbox.confinement import confine

logger = logging.getLogger(__name__)


def add_serve(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to the engine's command line."""
    parser = commands.add_parser("serve", help="run the engine of the server that started it")
    parser.add_argument("--channel-fd", type=int, required=True, help="inherited socket")
    parser.add_argument(
        "--pipeline", choices=("diffusion", "echo"), default="diffusion", help="echo needs no model"
    )
    parser.add_argument(
        "--echo-steps",
        type=Path,
        metavar="FILE",
        help="give echo four steps of as many ms as FILE says, which is read before every one",
    )
    add_model_options(parser)
    parser.add_argument("--max-streams", type=count, default=1, help="streams open at once")
    parser.add_argument(
        "--age-ms-target",
        type=milliseconds,
        default=1000.0,
        help="age of its oldest frame at which a chunk should be done (default: 1000)",
    )
    parser.set_defaults(run=run_serve)


def run_serve(arguments: argparse.Namespace) -> int:
    """Confine this process, then serve until the server closes the channel."""
    confinement = confine(needs_loopback=bool(arguments.devices))
    logger.log(logging.WARNING if confinement.missing else logging.INFO, "%s", confinement)
    from slipstream_engine.cli.engine_process import run_engine

    return run_engine(arguments)

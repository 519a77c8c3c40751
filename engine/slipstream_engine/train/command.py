"""`slipstream-engine train-tiny`: its arguments, and the stages in their order."""

import argparse
import importlib.util
import sys
from enum import StrEnum
from pathlib import Path


class Stage(StrEnum):
    """A part of the training; each needs what those before it left in the folder."""

    DATA = "data"
    CODEC = "codec"
    TEXT = "text"
    DIT = "dit"
    EVALUATE = "evaluate"
    ALL = "all"


def add_train_tiny(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to the engine's command line."""
    parser = commands.add_parser("train-tiny", help="make the embedded default model anew")
    parser.add_argument("--stage", type=Stage, choices=list(Stage), default=Stage.ALL)
    parser.add_argument("--device", default="cpu", help="torch device to train on")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--out", type=Path, default=Path("train-tiny"), help="folder for everything"
    )
    parser.add_argument(
        "--smoke", action="store_true", help="a training of seconds, to try the road"
    )
    parser.set_defaults(run=train_tiny)


def train_tiny(arguments: argparse.Namespace) -> int:
    """Run the stages asked for; 1 and a line on standard error where one cannot run."""
    if importlib.util.find_spec("cv2") is None:
        print(
            "opencv is not installed, run pip install 'slipstream[engine,train]'", file=sys.stderr
        )
        return 1
    # only now: these need packages that serving does not
    from slipstream_engine.train import plan, stages
    from slipstream_engine.train.sources import SourceError

    chosen = plan.smoke(arguments.seed) if arguments.smoke else plan.full(arguments.seed)
    workshop = stages.Workshop(plan=chosen, out=arguments.out, device=arguments.device)
    steps = {
        Stage.DATA: workshop.make_data,
        Stage.CODEC: workshop.make_codec,
        Stage.TEXT: workshop.make_text,
        Stage.DIT: workshop.make_dit,
        Stage.EVALUATE: workshop.evaluate,
    }
    wanted = list(steps) if arguments.stage is Stage.ALL else [arguments.stage]
    try:
        for stage in wanted:
            steps[stage]()
    except (SourceError, FileNotFoundError, ValueError, RuntimeError) as error:
        print(f"train-tiny {stage}: {error}", file=sys.stderr)
        return 1
    return 0

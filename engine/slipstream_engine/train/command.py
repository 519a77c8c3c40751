"""`slipstream-engine train-tiny`: its arguments, and the order of its stages."""

import argparse
import importlib.util
import sys
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from enum import StrEnum
from pathlib import Path

from slipstream_engine.cli.options import count, size_px

DRIFT_CHUNKS, SMOKE_CHUNKS = 10_000, 60
HOW_TO_INSTALL = "run pip install 'slipstream[engine,train]'"
WITHOUT_NETWORK = (
    "without a network, fetch the wheels where there is one (pip download -d wheels ...) "
    "and install them here (pip install --no-index --find-links wheels ...)"
)


class TrainingStage(StrEnum):
    """A part of the training; each reads what the stages before it wrote."""

    DATA = "data"
    CODEC = "codec"
    TEXT = "text"
    DIT = "dit"
    EVALUATE = "evaluate"
    QUALITY = "quality"
    ABLATE = "ablate"
    DRIFT = "drift"
    ALL = "all"


EXAMINATIONS = (TrainingStage.QUALITY, TrainingStage.ABLATE, TrainingStage.DRIFT)


def add_train_tiny(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to the engine's command line."""
    parser = commands.add_parser("train-tiny", help="train the embedded default model")
    parser.add_argument(
        "--stage",
        type=TrainingStage,
        choices=list(TrainingStage),
        default=TrainingStage.ALL,
        help="part of the training to run (default: all)",
    )
    parser.add_argument("--device", default="cpu", help="torch device to train on (default: cpu)")
    parser.add_argument("--seed", type=int, default=0, help="of data and weights (default: 0)")
    parser.add_argument(
        "--out", type=Path, default=Path("train-tiny"), help="folder for all files of the training"
    )
    parser.add_argument(
        "--smoke", action="store_true", help="a training of seconds, to test that all stages run"
    )
    finished = parser.add_argument_group(
        "quality, ablate and drift, which examine finished weights"
    )
    finished.add_argument(
        "--weights", type=Path, help="folder of weights to examine (default: those in --out)"
    )
    finished.add_argument("--size", type=size_px, help="WxH of a frame (default: the preset's)")
    finished.add_argument(
        "--chunks", type=count, help=f"of the long stream (default: {DRIFT_CHUNKS})"
    )
    parser.set_defaults(run=run_train_tiny)


def run_train_tiny(arguments: argparse.Namespace) -> int:
    """Run the chosen stages; 1 and a reason on standard error where one cannot run."""
    if importlib.util.find_spec("cv2") is None:
        print(f"opencv is not installed, {HOW_TO_INSTALL}", file=sys.stderr)
        return 1
    # imported late: these need packages of the train extra
    from slipstream_engine.errors import CheckpointError
    from slipstream_engine.train.durations import DurationsFile
    from slipstream_engine.train.sources import SourceError

    steps = _steps(arguments)
    durations = DurationsFile(path=arguments.out / "effort.json")
    chosen = list(steps) if arguments.stage is TrainingStage.ALL else [arguments.stage]
    try:
        for stage in chosen:
            # examinations write their duration into their own figures
            with nullcontext() if stage in EXAMINATIONS else durations.timed(stage):
                steps[stage]()
    except SourceError as error:
        reason = f"{error}; {WITHOUT_NETWORK}"
    except CheckpointError as error:
        reason = f"{error}; make it anew, or name another folder with --out or --weights"
    except (OSError, ValueError, RuntimeError) as error:
        reason = str(error)
    except KeyboardInterrupt:
        reason = "stopped; the same command goes on from the last checkpoint"
    else:
        print(f"train-tiny: the results are in {arguments.weights or arguments.out}")
        return 0
    print(f"train-tiny {stage}: {reason}", file=sys.stderr)
    return 1


def _steps(arguments: argparse.Namespace) -> Mapping[TrainingStage, Callable[[], None]]:
    """The function of each stage, in order."""
    from slipstream_engine.train import plan, stages
    from slipstream_engine.train.examine import Examination

    chosen = plan.smoke(arguments.seed) if arguments.smoke else plan.full(arguments.seed)
    workshop = stages.Workshop(plan=chosen, out=arguments.out, device=arguments.device)
    preset = chosen.preset
    if arguments.size is not None:
        preset = preset.at_one_size(*arguments.size)
    examination = Examination(
        weights=arguments.weights or workshop.weights,
        preset=preset,
        device=arguments.device,
        held_out=chosen.held_out,
        frames=chosen.judged_frames,
        styles=1 if arguments.smoke else 6,
        assessed_styles=1 if arguments.smoke else None,
        drift_chunks=arguments.chunks or (SMOKE_CHUNKS if arguments.smoke else DRIFT_CHUNKS),
        arm_chunks=SMOKE_CHUNKS if arguments.smoke else 240,
    )
    return {
        TrainingStage.DATA: workshop.make_data,
        TrainingStage.CODEC: workshop.make_codec,
        TrainingStage.TEXT: workshop.make_text,
        TrainingStage.DIT: workshop.make_dit,
        TrainingStage.EVALUATE: workshop.evaluate,
        TrainingStage.QUALITY: examination.assess,
        TrainingStage.ABLATE: examination.ablate,
        TrainingStage.DRIFT: examination.drift,
    }

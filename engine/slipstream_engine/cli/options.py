"""Options that several commands share: argument types, the options of a model and of a device."""

import argparse
from pathlib import Path

from slipstream_engine.config import Compilation
from slipstream_engine.presets import DEFAULT_PRESET
from slipstream_engine.weights.request import ModelRequest


def size_px(text: str) -> tuple[int, int]:
    """Parse `640x480` into width and height; an argparse type."""
    width, separator, height = text.lower().partition("x")
    if not (separator and width.isdigit() and height.isdigit()):
        raise argparse.ArgumentTypeError(f"size is {text!r}, it must be like 640x480")
    return int(width), int(height)


def count(text: str) -> int:
    """Parse a whole number, at least 1; an argparse type."""
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is given, it must be a whole number above 0")
    return int(text)


def milliseconds(text: str) -> float:
    """Parse a duration above 0; an argparse type."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is given, it must be a number above 0")
    return value


def device_names(text: str) -> tuple[str, ...]:
    """Parse `cuda:0,cuda:1`; an argparse type."""
    return tuple(name for part in text.split(",") if (name := part.strip()))


def add_model_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that choose one model and its device; `model_request` reads them."""
    parser.add_argument("--preset", default=DEFAULT_PRESET, help="model (default: %(default)s)")
    parser.add_argument("--size", type=size_px, help="WxH of a frame (default: the preset's)")
    parser.add_argument("--codec", help="wan, taehv, or encoder and decoder: wan+taehv")
    add_device_options(parser)


def add_device_options(parser: argparse.ArgumentParser) -> None:
    """Add the options for where a model runs, and on what weights."""
    parser.add_argument("--device", help="torch device (default: a GPU if there is one)")
    parser.add_argument(
        "--devices",
        type=device_names,
        default=(),
        metavar="A,B,...",
        help="several devices that share the model, like cuda:0,cuda:1, or auto: all GPUs",
    )
    parser.add_argument(
        "--plan",
        default="auto",
        help="which device runs what: auto, layers, steps or a plan's file (default: auto)",
    )
    parser.add_argument("--weights", type=Path, help="folder of pulled weights")
    parser.add_argument(
        "--checkpoint",
        type=Path,
        metavar="FILE",
        help="weights of the transformer (default: the preset's)",
    )
    parser.add_argument(
        "--threads", type=count, help="CPU threads (default: all cores; half of them for serve)"
    )
    parser.add_argument(
        "--max-steps",
        type=count,
        help="most denoising steps of a stream (default: as many as there is memory for)",
    )
    parser.add_argument(
        "--compile",
        choices=("auto", "none", "graph"),
        default="auto",
        help="CUDA graphs, or none (default: auto, graphs on a GPU); runs eagerly, and says why, "
        "where that is not possible",
    )


def compilation_of(arguments: argparse.Namespace) -> Compilation | None:
    """Read `--compile`; None leaves it to the device."""
    return None if arguments.compile == "auto" else Compilation(arguments.compile)


def model_request(arguments: argparse.Namespace) -> ModelRequest:
    """Read the options of `add_model_options`."""
    return ModelRequest(
        preset=arguments.preset,
        size_px=arguments.size,
        codec=arguments.codec,
        device=arguments.device,
        devices=arguments.devices,
        plan=arguments.plan,
        weights=arguments.weights,
        threads=arguments.threads,
        compilation=compilation_of(arguments),
        checkpoint=arguments.checkpoint,
        max_steps=arguments.max_steps,
    )

"""What several commands of the engine's command line share."""

import argparse
from pathlib import Path


def size_px(text: str) -> tuple[int, int]:
    """`640x480` as width and height; for argparse."""
    width, separator, height = text.lower().partition("x")
    if not (separator and width.isdigit() and height.isdigit()):
        raise argparse.ArgumentTypeError(f"size is {text!r}, it must be like 640x480")
    return int(width), int(height)


def count(text: str) -> int:
    """A number of things, at least one; for argparse."""
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is given, it must be a whole number above 0")
    return int(text)


def add_machine(parser: argparse.ArgumentParser) -> None:
    """Where a model runs."""
    parser.add_argument("--device", help="torch device; a GPU where there is one")
    parser.add_argument("--weights", type=Path, help="folder of pulled weights")
    parser.add_argument(
        "--threads", type=count, help="of the CPU; all cores where not given, half to serve"
    )
    parser.add_argument(
        "--compile",
        choices=("none", "graph", "inductor"),
        default="none",
        help="CUDA graphs or torch.compile; runs eagerly, and says why, where it cannot be",
    )

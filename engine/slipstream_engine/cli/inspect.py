"""`slipstream-engine inspect`: where a preset would run and whether its files are there; loads
nothing, and answers in seconds whatever the model's size."""

import argparse
import sys
from pathlib import Path

import msgspec
import torch
from slipstream_protocol.inspection import Gpu, Inspection

from slipstream_engine.cli.options import add_machine, size_px
from slipstream_engine.config import DEFAULT_PRESET, Preset
from slipstream_engine.errors import CheckpointError
from slipstream_engine.weights.embedded import check_embedded
from slipstream_engine.weights.factory import ModelRequest, configure
from slipstream_engine.weights.registry import DEFAULT_WEIGHTS
from slipstream_engine.weights.wan import check_present

_SIDE = 64  # of the matrices multiplied


def add_inspect(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = commands.add_parser("inspect", help="say as JSON what a preset would run on")
    parser.add_argument("--preset", default=DEFAULT_PRESET)
    parser.add_argument("--size", type=size_px, help="WxH of a frame, where not the preset's own")
    parser.add_argument("--codec", help="wan, taehv, or one for each way: wan+taehv")
    add_machine(parser)
    parser.set_defaults(run=run_inspect)


def run_inspect(arguments: argparse.Namespace) -> int:
    found = inspect(
        ModelRequest(
            preset=arguments.preset,
            size_px=arguments.size,
            codec=arguments.codec,
            device=arguments.device,
            weights=arguments.weights,
        )
    )
    sys.stdout.write(msgspec.json.encode(found).decode() + "\n")
    return 0


def inspect(wanted: ModelRequest) -> Inspection:
    """What is there for it."""
    device = device_problem = weights = weights_problem = None
    try:
        config = configure(wanted)
    except ValueError as error:
        device_problem = str(error)
    else:
        device = config.device
        device_problem = device_failure(torch.device(device))
        folder = (wanted.weights or DEFAULT_WEIGHTS).expanduser()
        weights = "the package" if config.preset.embedded else str(folder)
        weights_problem = _weights_problem(config.preset, folder)
    return Inspection(
        torch=str(torch.__version__),
        cuda=torch.version.cuda,
        gpus=tuple(_gpu(index) for index in range(torch.cuda.device_count())),
        device=device,
        device_problem=device_problem,
        weights=weights,
        weights_problem=weights_problem,
    )


def device_failure(device: torch.device) -> str | None:
    """Why a small product on `device` does not come out right; None if it does."""
    try:
        ones = torch.ones(_SIDE, _SIDE, device=device)
        total = float((ones @ ones).sum())
    except RuntimeError as error:  # torch's own, which a driver of another version makes it raise
        return f"torch cannot compute on {device}: {str(error).splitlines()[0]}"
    if total != _SIDE**3:
        return f"a product on {device} came out as {total}, it must be {_SIDE**3}"
    return None


def _weights_problem(preset: Preset, folder: Path) -> str | None:
    try:
        if preset.embedded:
            check_embedded()
        else:
            check_present(preset, folder)
    except CheckpointError as error:
        return str(error)
    return None


def _gpu(index: int) -> Gpu:
    found = torch.cuda.get_device_properties(index)
    return Gpu(
        name=found.name,
        memory_bytes=found.total_memory,
        capability=f"{found.major}.{found.minor}",
    )

"""`slipstream-engine inspect`: the device a preset would run on, and whether its files are there.

It loads no weights, of a checkpoint only names and shapes, and answers in seconds whatever the
model's size.
"""

import argparse
import itertools
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import msgspec
import torch
from slipstream_protocol.inspection import Gpu, Inspection, PeerLink

from slipstream_engine.checkpoints.checkpoint import open_checkpoint
from slipstream_engine.checkpoints.loader import check_checkpoint
from slipstream_engine.cli.options import add_model_options, model_request
from slipstream_engine.config import EngineConfig
from slipstream_engine.errors import CheckpointError
from slipstream_engine.kernels.availability import why_not_fused
from slipstream_engine.models.dit.transformer import CausalDit
from slipstream_engine.parallel.link_times import measure_link, message_of
from slipstream_engine.parallel.message_layouts import MessageLayout
from slipstream_engine.parallel.process_group import joined_by, why_not_joined
from slipstream_engine.weights.embedded import check_embedded
from slipstream_engine.weights.factory import configure
from slipstream_engine.weights.group import group_of
from slipstream_engine.weights.least_memory import least_device_bytes
from slipstream_engine.weights.plan_choice import AUTO, plan_of
from slipstream_engine.weights.registry import DEFAULT_WEIGHTS
from slipstream_engine.weights.request import ModelRequest
from slipstream_engine.weights.wan import check_present

_MEET_S = 20.0
_SIDE = 64  # rows and columns of the matrices that test a device


def add_inspect(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to the engine's command line."""
    parser = commands.add_parser("inspect", help="print as JSON what a preset would run on")
    add_model_options(parser)
    parser.set_defaults(run=run_inspect)


def run_inspect(arguments: argparse.Namespace) -> int:
    """Print an `Inspection` as JSON."""
    inspection = inspect(model_request(arguments))
    sys.stdout.write(msgspec.json.encode(inspection).decode() + "\n")
    return 0


def inspect(request: ModelRequest) -> Inspection:
    """Look at the device and the weights that a request needs."""
    device = device_problem = weights = weights_problem = checkpoint = gpu = least = None
    join_problem = megabyte_ms = None
    unfused = joined = ""
    links: tuple[PeerLink, ...] = ()
    try:
        devices = group_of(request)
        config = configure(replace(request, device=devices[0]))
        if len(devices) > 1 and request.plan != AUTO:
            plan_of(request.plan, config.preset, ranks=len(devices), max_steps=request.max_steps)
    except (ValueError, OSError) as error:
        device_problem = str(error)
    else:
        device = ", ".join(devices)
        failures = (device_failure(torch.device(name)) for name in dict.fromkeys(devices))
        device_problem = next(filter(None, failures), None) or why_not_joined(devices)
        if len(devices) > 1 and device_problem is None:
            joined, links = joined_by(devices), tuple(peer_links(devices))
            try:
                megabyte_ms = longest_ms(devices, message_of(1_000_000))
            except RuntimeError as error:
                join_problem = str(error)
        if devices[0].startswith("cuda"):
            gpu = torch.device(devices[0]).index
            least = least_device_bytes(config) if len(devices) == 1 else None  # all on one
            unfused = why_not_fused(torch.device(devices[0]))
        folder = (request.weights or DEFAULT_WEIGHTS).expanduser()
        weights = "the package" if config.preset.embedded else str(folder)
        weights_problem = _weights_problem(config, folder)
        if config.checkpoint is not None and weights_problem is None:
            checkpoint = f"{config.checkpoint}: {open_checkpoint(config.checkpoint).form}"
    return Inspection(
        torch=str(torch.__version__),
        cuda=torch.version.cuda,
        gpus=tuple(_gpu(index) for index in range(torch.cuda.device_count())),
        device=device,
        device_problem=device_problem,
        weights=weights,
        weights_problem=weights_problem,
        checkpoint=checkpoint,
        gpu=gpu,
        least_bytes=least,
        unfused=unfused,
        joined_by=joined,
        join_problem=join_problem,
        megabyte_ms=megabyte_ms,
        links=links,
    )


def longest_ms(devices: Sequence[str], message: MessageLayout) -> float:
    """What a message takes between two devices that follow each other, at the most.

    Raises:
        RuntimeError: if two of them do not exchange it.
    """
    pairs = dict.fromkeys(itertools.pairwise(devices))
    return max(measure_link(*pair, [message], within_s=_MEET_S)[0] for pair in pairs)


def peer_links(devices: Sequence[str]) -> Iterator[PeerLink]:
    """How each pair of GPUs exchanges memory; none of other devices."""
    gpus = [name for name in devices if name.startswith("cuda")]
    for one, other in itertools.combinations(gpus, 2):
        is_direct = torch.cuda.can_device_access_peer(torch.device(one), torch.device(other))
        yield PeerLink(one=one, other=other, is_direct=is_direct)


def device_failure(device: torch.device) -> str | None:
    """Why a matrix product on `device` fails; None if it is right."""
    try:
        ones = torch.ones(_SIDE, _SIDE, device=device)
        total = float((ones @ ones).sum())
    except RuntimeError as error:  # e.g. from a driver of another version
        return f"torch cannot compute on {device}: {str(error).splitlines()[0]}"
    if total != _SIDE**3:
        return f"a product on {device} came out as {total}, it must be {_SIDE**3}"
    return None


def _weights_problem(config: EngineConfig, folder: Path) -> str | None:
    preset = config.preset
    try:
        if preset.embedded:
            check_embedded()
        else:
            check_present(preset, folder, config.checkpoint)
        if config.checkpoint is not None:
            check_checkpoint(lambda: CausalDit(preset.dit), config.checkpoint)
    except CheckpointError as error:
        return str(error)
    return None


def _gpu(index: int) -> Gpu:
    properties = torch.cuda.get_device_properties(index)
    return Gpu(
        name=properties.name,
        memory_bytes=properties.total_memory,
        capability=f"{properties.major}.{properties.minor}",
    )

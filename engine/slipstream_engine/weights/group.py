"""Loads a model over several devices, as a `GroupPipeline`."""

import logging
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from slipstream_protocol.channel import Channel

from slipstream_engine.config import EngineConfig
from slipstream_engine.diffusion.pipeline import DiffusionPipeline, ModelBundle
from slipstream_engine.group.fingerprint import fingerprint
from slipstream_engine.group.messages import Setup, ToRank
from slipstream_engine.group.paths import share_of
from slipstream_engine.group.pipeline import GroupPipeline
from slipstream_engine.group.serve_rank import serve_rank
from slipstream_engine.group.staging import Staging
from slipstream_engine.group.workers import RankStartError, Workers
from slipstream_engine.parallel.plan import PipelinePlan
from slipstream_engine.parallel.process_group import why_not_joined
from slipstream_engine.weights.block_moves import block_scheduler
from slipstream_engine.weights.bundle import load_bundle, weight_files
from slipstream_engine.weights.factory import (
    available_cores,
    configure,
    device_group,
    load_diffusion,
    use_gpu,
)
from slipstream_engine.weights.plan_choice import plan_for
from slipstream_engine.weights.random import random_bundle
from slipstream_engine.weights.registry import DEFAULT_WEIGHTS
from slipstream_engine.weights.request import ModelRequest

logger = logging.getLogger(__name__)


def load_model(request: ModelRequest) -> DiffusionPipeline[Any] | GroupPipeline:
    """Load a pipeline, over one device or several, without warming it up.

    A further rank that does not come up is left out: what the others can do without it, they do.

    Raises:
        ValueError: if the request is not possible.
        OSError: if weights are missing or cannot be read.
    """
    if not request.devices:
        return load_diffusion(request)
    devices, notes = list(group_of(request)), list[str]()
    if reason := why_not_joined(devices):
        raise ValueError(f"devices are {', '.join(devices)}: {reason}")
    while len(devices) > 1:
        config = configure(replace(request, device=devices[0]))
        chosen = plan_for(request, config.preset, devices)
        try:
            return start_group(
                config,
                chosen.plan,
                devices,
                weights=(request.weights or DEFAULT_WEIGHTS).expanduser(),
                random_weights=False,
                threads=request.threads or max(1, available_cores() // 2 // len(devices)),
                note="; ".join([chosen.reason, *notes]),
                moves_blocks=not Path(request.plan).is_file(),  # a plan that was written stays
            )
        except RankStartError as error:
            if not error.rank or Path(request.plan).is_file():
                raise ValueError(str(error)) from error
            logger.error("%s; the engine goes on without it", error)
            notes.append(f"without {devices.pop(error.rank)}: {error}")
    return load_diffusion(replace(request, device=devices[0], devices=()))


def group_of(request: ModelRequest) -> tuple[str, ...]:
    """The devices of a request, in the order of their ranks.

    Raises:
        ValueError: if one is not there, or is named twice, or they are of several kinds.
    """
    if request.devices and request.device is not None:
        raise ValueError("device and devices are both given, choose one of them")
    if request.devices:
        return device_group(request.devices)
    return (configure(request).device,)


def start_group(
    config: EngineConfig,
    plan: PipelinePlan,
    devices: Sequence[str],
    *,
    weights: Path,
    random_weights: bool,
    threads: int,
    note: str,
    moves_blocks: bool = False,
) -> GroupPipeline:
    """Start all ranks of a plan, each with its share of the model.

    A group generates at one size, its preset's: all messages between ranks have one layout.

    Args:
        devices: of the ranks, in order.
        random_weights: in place of those of files.
        threads: of torch, of each rank on a CPU.
        note: on the plan, for people.
        moves_blocks: between ranks while streams run, as each turns out to be fast or slow.

    Raises:
        ValueError: if weights are missing or of another model.
        OSError: if they cannot be read.
        RankStartError: if a rank does not come up.
    """
    preset = config.preset.at_one_size(config.preset.width_px, config.preset.height_px)
    config = replace(config, preset=preset)
    workers = Workers(devices)
    print_of_all = fingerprint(() if random_weights else weight_files(config, weights))
    setups = [
        Setup(
            rank=rank,
            plan=plan,
            config=replace(config, device=device, share=share_of(plan, rank), max_steps=plan.steps),
            weights=str(weights),
            random_weights=random_weights,
            store=str(workers.store),
            threads=threads,
            fingerprint=print_of_all,
        )
        for rank, device in enumerate(devices)
    ]
    try:
        local = DiffusionPipeline(setups[0].config, load_share(setups[0]))
        staging = Staging()
        serve = partial(_serve_first, setups[0], local, staging)
        workers.start_thread(0, serve)
        for setup in setups[1:]:
            workers.start_process(setup)
        ready = workers.await_ready(print_of_all)
    except BaseException:
        workers.stop()
        raise
    scheduler = None
    if moves_blocks and plan.ranks > 1:
        scheduler = block_scheduler(local, plan, [one.free_bytes for one in ready])
    return GroupPipeline(local, plan, workers, staging, note=note, scheduler=scheduler)


def _serve_first(
    setup: Setup, local: DiffusionPipeline[Any], staging: Staging, channel: Channel[ToRank]
) -> None:
    serve_rank(setup, channel, local, fingerprint=setup.fingerprint, staging=staging)


def load_share(setup: Setup) -> ModelBundle[Any]:
    """Load what a rank needs of the model.

    Raises:
        ValueError: if weights are missing or of another model.
        OSError: if they cannot be read.
    """
    config = setup.config
    if config.device.startswith("cuda"):
        use_gpu(config.device)
    torch.set_num_threads(setup.threads)
    if setup.random_weights:
        return random_bundle(config)
    return load_bundle(config, Path(setup.weights))

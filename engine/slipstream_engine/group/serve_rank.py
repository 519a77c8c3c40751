"""What makes a process or a thread a rank: its models, its connections, then `Rank`."""

from pathlib import Path
from typing import Any

import torch
from slipstream_protocol.channel import Channel

from slipstream_engine.config import FIRST_CHUNK_LATENTS
from slipstream_engine.device.memory import memory_of
from slipstream_engine.diffusion.pipeline import DiffusionPipeline, latent_size
from slipstream_engine.group.arrival_watch import ArrivalWatch
from slipstream_engine.group.mail import Mail
from slipstream_engine.group.messages import RankReady, Setup, ToRank
from slipstream_engine.group.paths import Paths
from slipstream_engine.group.rank import Rank
from slipstream_engine.group.staging import Staging
from slipstream_engine.parallel.message_layouts import MessageLayouts
from slipstream_engine.parallel.process_group import ProcessGroup


def serve_rank(
    setup: Setup,
    channel: Channel[ToRank],
    pipeline: DiffusionPipeline[Any],
    *,
    fingerprint: str,
    staging: Staging | None = None,
) -> None:
    """Join the group and work for it until the leader says so, or is gone.

    Args:
        fingerprint: of this process' code and weights.
        staging: of the leader's own rank.
    """
    device = torch.device(setup.config.device)
    if device.type == "cuda":
        torch.cuda.set_device(device)  # of this thread
    torch.set_num_threads(setup.threads)
    paths = Paths(setup.plan)
    joined = ProcessGroup(
        Path(setup.store),
        rank=setup.rank,
        ranks=setup.plan.ranks,
        device=device,
        pairs=paths.pairs(),
    )
    layouts = layouts_of(pipeline)
    mail = Mail(
        joined.link,
        layouts,
        largest_bytes=layouts.largest_bytes(FIRST_CHUNK_LATENTS),
        device=device,
        watch=ArrivalWatch(),
    )
    memory = memory_of(device) if device.type == "cuda" else None
    channel.send(
        RankReady(
            rank=setup.rank,
            fingerprint=fingerprint,
            free_bytes=memory.free_bytes() if memory else None,
        )
    )
    Rank(setup.rank, paths, pipeline, mail, channel, staging).serve()


def layouts_of(pipeline: DiffusionPipeline[Any]) -> MessageLayouts:
    """Of the messages between ranks of a model."""
    model, preset = pipeline.bundle.model, pipeline.maker.preset
    size = latent_size(preset, pipeline.bundle.codec.stride, pipeline.geometry.size)
    rows, columns = model.grid(*size)
    return MessageLayouts(
        latents=(model.params.latent_channels, *size),
        tokens=(rows * columns, model.params.dim),
        dtype=model.dtype,
        geometry=pipeline.geometry,
    )

"""The picture quality of every style on held-out clips, at the full and at half the frame rate."""

import time
from collections.abc import Sequence

import msgspec
from slipstream_protocol.parameters import Parameters

from slipstream_engine.diffusion.pipeline import DiffusionPipeline
from slipstream_engine.models.vae.taehv import TaehvState
from slipstream_engine.train.data import stylise
from slipstream_engine.train.evaluate import HeldOut, as_frames_show, stream
from slipstream_engine.train.picture_quality import (
    PictureQuality,
    mean_quality,
    picture_quality,
)
from slipstream_engine.train.styles import OWN_GRID


class StyleQuality(msgspec.Struct, frozen=True, kw_only=True):
    """A style's means over the clips."""

    style: str
    full_rate: PictureQuality
    half_rate: PictureQuality


class QualityTable(msgspec.Struct, frozen=True, kw_only=True, tag="quality"):
    """The whole table."""

    width_px: int
    height_px: int
    clips: tuple[str, ...]
    seconds: float
    styles: tuple[StyleQuality, ...]


def quality_table(
    pipeline: DiffusionPipeline[TaehvState], styles: Sequence[str], clips: Sequence[HeldOut]
) -> QualityTable:
    """Measure every style on every clip, and print a line for each style."""
    began_s = time.monotonic()
    found = []
    for style in styles:
        one = StyleQuality(
            style=style,
            full_rate=_quality(pipeline, style, clips, every=1),
            half_rate=_quality(pipeline, style, clips, every=2),
        )
        found.append(one)
        print(f"quality: {style}: {one.full_rate}", flush=True)
    geometry = pipeline.geometry
    return QualityTable(
        width_px=geometry.width_px,
        height_px=geometry.height_px,
        clips=tuple(one.name for one in clips),
        seconds=round(time.monotonic() - began_s, 1),
        styles=tuple(found),
    )


def _quality(
    pipeline: DiffusionPipeline[TaehvState], style: str, clips: Sequence[HeldOut], *, every: int
) -> PictureQuality:
    """The mean over the clips, of which each `every`th frame is streamed."""
    qualities = []
    for held in clips:
        camera = held.clip[::every]
        generated = stream(pipeline, camera, Parameters(prompt=style))
        camera = camera[: len(generated)]
        target = stylise(camera, style)
        one = picture_quality(generated, target, camera, shown=as_frames_show(target))
        if style in OWN_GRID:
            one = msgspec.structs.replace(one, block_ratio=None)
        qualities.append(one)
    return mean_quality(qualities)

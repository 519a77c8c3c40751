"""The amounts of data and steps: of the full training, and of a smoke test of all stages."""

from dataclasses import dataclass

from slipstream_engine.config import Preset
from slipstream_engine.presets import PRESETS
from slipstream_engine.train.batches import SMALL_CROPS, WHOLE_CROPS, WIDE_CROPS, Crop
from slipstream_engine.train.data import DataConfig
from slipstream_engine.train.fit import Recipe
from slipstream_engine.train.sources import HELD_OUT, TRAINING, PictureSource


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A whole training.

    Args:
        preset: the model to train, at its own frame size.
        latents, pictures, finish: the phases of the transformer, each with two crop sizes.
        styles_judged: how many styles to evaluate; 0 for all.
        gate_db: the mean gain a style needs to be offered.
    """

    preset: Preset
    data: DataConfig
    training: tuple[PictureSource, ...]
    held_out: tuple[PictureSource, ...]
    codec: Recipe
    text_steps: int
    latents: Recipe
    latents_crops: tuple[Crop, Crop]
    pictures: Recipe
    pictures_crops: tuple[Crop, Crop]
    finish: Recipe
    finish_crops: tuple[Crop, Crop]
    judged_frames: int = 29
    styles_judged: int = 0
    gate_db: float = 1.5


def full(seed: int) -> Plan:
    """Weights from nothing and in one piece; the shipped ones came in pieces (their card)."""
    return Plan(
        preset=PRESETS["tiny"],
        data=DataConfig(clips=600, targets=6, seed=seed),
        training=TRAINING,
        held_out=HELD_OUT,
        codec=Recipe(steps=1500, rate=1.5e-3, seed=seed),
        text_steps=8000,
        latents=Recipe(steps=4500, rate=2e-3, floor=0.1, average=0.995, seed=seed + 1),
        latents_crops=(SMALL_CROPS, SMALL_CROPS),
        pictures=Recipe(steps=7500, rate=1e-3, average=0.998, seed=seed + 2),
        pictures_crops=(SMALL_CROPS, WIDE_CROPS),
        finish=Recipe(steps=3500, rate=5e-4, average=0.998, seed=seed + 3),
        finish_crops=(WIDE_CROPS, WHOLE_CROPS),
    )


def smoke(seed: int) -> Plan:
    """Seconds on one core; its model is good for nothing."""
    crop = Crop(batch=2, rows=4, columns=4)
    short = Recipe(steps=4, rate=1e-3, warm_up=2, log_every=2, save_every=2, seed=seed)
    return Plan(
        preset=PRESETS["tiny"].at_one_size(64, 48),
        data=DataConfig(clips=6, targets=2, width_px=64, height_px=48, seed=seed),
        training=TRAINING[:2],
        held_out=HELD_OUT[2:3],
        codec=short,
        text_steps=20,
        latents=short,
        latents_crops=(crop, crop),
        pictures=short,
        pictures_crops=(crop, crop),
        finish=short,
        finish_crops=(crop, crop),
        judged_frames=9,
        styles_judged=2,
    )

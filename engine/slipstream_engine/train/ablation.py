"""An ablation of streaming: the same scores with one part changed at a time."""

from dataclasses import dataclass, replace

import msgspec
import numpy as np
from slipstream_protocol.parameters import Parameters

from slipstream_engine.config import EngineConfig, Preset
from slipstream_engine.diffusion.pipeline import DiffusionPipeline, ModelBundle
from slipstream_engine.models.vae.taehv import TaehvState
from slipstream_engine.train import drift, evaluate
from slipstream_engine.train.evaluate import HeldOut, Score
from slipstream_engine.train.scenes import Clip


@dataclass(frozen=True, slots=True, kw_only=True)
class Arm:
    """One arm of the ablation: a way to run the model."""

    name: str
    preset: Preset
    parameters: Parameters


class ArmOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """What an arm makes, the mean over styles and clips.

    Args:
        gain_db: over the best recolouring, see `evaluate.py`.
        gradient_ratio: energy of gradients over the teacher's.
        flicker_levels: change from frame to frame when nothing moves.
        drift: of a stream of the first style, in levels per 1000 chunks, the steepest of mean red,
            green, blue and contrast; `drift_error` its standard error.
    """

    arm: str
    gain_db: float
    gradient_ratio: float
    flicker_levels: float
    drift: float
    drift_error: float


class Ablation(msgspec.Struct, frozen=True, kw_only=True, tag="ablation"):
    """The whole table."""

    width_px: int
    height_px: int
    styles: tuple[str, ...]
    clips: tuple[str, ...]
    drift_chunks: int
    seconds: float
    outcomes: tuple[ArmOutcome, ...]


def arms(preset: Preset) -> list[Arm]:
    """The model as it is served, then with one thing changed in each arm."""
    cache = preset.cache
    sink = replace(preset, cache=replace(cache, slots=cache.slots + 1, sinks=cache.sinks + 1))
    steps = preset.schedule.step_list
    return [
        Arm(name="as served: 1 step, no sinks, motion", preset=preset, parameters=Parameters()),
        Arm(name="a sink besides", preset=sink, parameters=Parameters()),
        Arm(
            name="no motion controller",
            preset=preset,
            parameters=Parameters(noise_controller=False),
        ),
        *(
            Arm(
                name=f"{count} steps",
                preset=preset,
                parameters=Parameters(denoising_step_list=steps[:count]),
            )
            for count in (2, 4)
        ),
        *(
            Arm(
                name=f"strength {scale:g}, the {end}",
                preset=preset,
                parameters=Parameters(noise_scale=scale),
            )
            for scale, end in zip(preset.schedule.noise_scale_range, ("least", "most"), strict=True)
        ),
    ]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Trial:
    """The model and the clips that every arm is judged on.

    Args:
        config: of the model as it is served.
        loop, drift_chunks: of the long stream, see `drift.measure`.
    """

    config: EngineConfig
    bundle: ModelBundle[TaehvState]
    styles: tuple[str, ...]
    clips: tuple[HeldOut, ...]
    loop: Clip
    drift_chunks: int

    def run(self) -> tuple[ArmOutcome, ...]:
        """Judge every arm, and print a line for each."""
        outcomes = []
        for arm in arms(self.config.preset):
            one = self.judge(arm)
            outcomes.append(one)
            print(
                f"ablate: {one.arm}: gain {one.gain_db:+.2f} dB, flicker {one.flicker_levels:.2f}",
                flush=True,
            )
        return tuple(outcomes)

    def judge(self, arm: Arm) -> ArmOutcome:
        """Every style on every clip, as the arm has it."""
        pipeline = DiffusionPipeline(replace(self.config, preset=arm.preset), self.bundle)
        scores: list[Score] = []
        flicker: list[float] = []
        for style in self.styles:
            parameters = arm.parameters.merged(Parameters(prompt=style))
            scores += [evaluate.judge(pipeline, style, one, parameters)[0] for one in self.clips]
            flicker.append(evaluate.flicker_levels(pipeline, self.clips[0].clip[0], parameters))
        long = drift.measure(
            pipeline,
            self.loop,
            arm.parameters.merged(Parameters(prompt=self.styles[0])),
            chunks=self.drift_chunks,
        )
        return ArmOutcome(
            arm=arm.name,
            gain_db=round(float(np.mean([score.gain_db for score in scores])), 2),
            gradient_ratio=round(float(np.mean([score.gradient_ratio for score in scores])), 3),
            flicker_levels=round(float(np.mean(flicker)), 2),
            drift=round(long.steepest.per_1000_chunks, 3),
            drift_error=round(long.steepest.standard_error, 3),
        )

"""Examines finished weights: what the eye sees first, the parts of streaming, a long stream.

All write their figures as JSON beside the weights, and a section of the model card.
"""

import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
from slipstream_protocol.parameters import Parameters

from slipstream_engine.atomic_file import atomic_write
from slipstream_engine.config import EngineConfig, Preset
from slipstream_engine.diffusion.pipeline import DiffusionPipeline, ModelBundle
from slipstream_engine.models.vae.taehv import TaehvState
from slipstream_engine.train import evaluate, report
from slipstream_engine.train.ablation import Ablation, Trial
from slipstream_engine.train.drift import LOOP_FRAMES, Drift, measure, progress
from slipstream_engine.train.durations import machine_description
from slipstream_engine.train.quality import QualityTable, quality_table
from slipstream_engine.train.quality_report import quality_section
from slipstream_engine.train.scenes import Clip, Size
from slipstream_engine.train.sources import PictureSource
from slipstream_engine.train.styles import STYLES
from slipstream_engine.weights.embedded import DIT_FILE, load_embedded_bundle

QUALITY_FILE, ABLATION_FILE, DRIFT_FILE = "quality.json", "ablation.json", "drift.json"
CARD_FILE = "MODEL_CARD.md"


class ExaminationRecord(msgspec.Struct, frozen=True, kw_only=True):
    """Figures of one examination.

    Args:
        weights: first digits of the SHA-256 of the transformer's file.
    """

    weights: str
    machine: str
    found: Drift | Ablation | QualityTable


@dataclass(frozen=True, slots=True, kw_only=True)
class Examination:
    """What to examine, and for how long.

    Args:
        weights: a folder with the model's files.
        preset: at the size to examine it at.
        held_out: clips that no training saw; the long stream shows the first one.
        frames: of each clip, for the tables.
        styles: of those the model lists (of all, where it lists none), the first so many count in
            the ablation; the long stream is of the first one.
        assessed_styles: the first so many count in the table of quality; None for all.
        drift_chunks, arm_chunks: of the long stream, and of that of each arm of the table.
    """

    weights: Path
    preset: Preset
    device: str
    held_out: Sequence[PictureSource]
    frames: int = 29
    styles: int = 6
    assessed_styles: int | None = None
    drift_chunks: int = 10_000
    arm_chunks: int = 240

    def assess(self) -> None:
        """Measure what every style looks like; writes `quality.json`."""
        bundle = load_embedded_bundle(self._config, self.weights)
        found = quality_table(
            DiffusionPipeline(self._config, bundle),
            _styles(bundle)[: self.assessed_styles],
            evaluate.held_out(self._size, self.held_out),
        )
        self._write(QUALITY_FILE, found, quality_section(found, machine_description()))

    def drift(self) -> None:
        """Stream the loop; writes `drift.json`."""
        bundle = load_embedded_bundle(self._config, self.weights)
        found = measure(
            DiffusionPipeline(self._config, bundle),
            self._loop(),
            Parameters(prompt=_styles(bundle)[0]),
            chunks=self.drift_chunks,
            on_chunk=progress(self.drift_chunks),
        )
        self._write(DRIFT_FILE, found, report.drift_section(found, machine_description()))

    def ablate(self) -> None:
        """Judge every arm; writes `ablation.json`."""
        began = time.monotonic()
        bundle, preset = load_embedded_bundle(self._config, self.weights), self.preset
        trial = Trial(
            config=self._config,
            bundle=bundle,
            styles=_styles(bundle)[: self.styles],
            clips=tuple(evaluate.held_out(self._size, self.held_out)),
            loop=self._loop(),
            drift_chunks=self.arm_chunks,
        )
        found = Ablation(
            width_px=preset.width_px,
            height_px=preset.height_px,
            styles=trial.styles,
            clips=tuple(one.name for one in trial.clips),
            drift_chunks=trial.drift_chunks,
            outcomes=trial.run(),
            seconds=round(time.monotonic() - began, 1),
        )
        self._write(ABLATION_FILE, found, report.ablation_section(found, machine_description()))

    @property
    def _size(self) -> Size:
        return Size(
            frames=self.frames, width_px=self.preset.width_px, height_px=self.preset.height_px
        )

    @property
    def _config(self) -> EngineConfig:
        return EngineConfig(preset=self.preset, device=self.device)

    def _weights_digest(self) -> str:
        return hashlib.sha256((self.weights / DIT_FILE).read_bytes()).hexdigest()[:12]

    def _loop(self) -> Clip:
        size = Size(
            frames=LOOP_FRAMES, width_px=self.preset.width_px, height_px=self.preset.height_px
        )
        return evaluate.held_out(size, self.held_out[:1])[0].clip

    def _write(
        self, name: str, found: Drift | Ablation | QualityTable, section: report.Section
    ) -> None:
        record = ExaminationRecord(
            weights=self._weights_digest(), machine=machine_description(), found=found
        )
        content = msgspec.json.format(msgspec.json.encode(record)) + b"\n"
        with atomic_write(self.weights / name) as file:
            file.write(content)
        card = self.weights / CARD_FILE
        text = report.with_section(card.read_text() if card.is_file() else "", section)
        with atomic_write(card) as file:
            file.write(text.encode())
        print("\n".join(section.lines))


def _styles(bundle: ModelBundle[TaehvState]) -> tuple[str, ...]:
    return bundle.text.vocabulary.styles or tuple(STYLES)

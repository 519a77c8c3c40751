"""The stages of the training; each reads from the folder what the stages before it wrote.

out/data/                the clips and their stylised targets
out/checkpoints/         to resume from, and the codec as its own stage wrote it
out/effort.json          how long each stage took
out/weights/             codec, dit and text as safetensors, MODEL_CARD.md, scores.json, pictures
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file
from slipstream_protocol.parameters import Parameters

from slipstream_engine.atomic_file import atomic_write
from slipstream_engine.checkpoints.loader import load_module
from slipstream_engine.config import EngineConfig
from slipstream_engine.diffusion.pipeline import DiffusionPipeline, ModelBundle
from slipstream_engine.models.dit.transformer import CausalDit, initialise
from slipstream_engine.models.vae.guided_taehv import GuidedTaehv
from slipstream_engine.models.vae.taehv import TaehvState
from slipstream_engine.models.vae.taehv_config import TINY
from slipstream_engine.train import codec as codec_stage
from slipstream_engine.train import data, dit, evaluate, report, text
from slipstream_engine.train.batches import Sampler
from slipstream_engine.train.colours import COLOURS
from slipstream_engine.train.durations import DurationsFile
from slipstream_engine.train.evaluate import HeldOut, Score, TintScore
from slipstream_engine.train.fit import save_weights
from slipstream_engine.train.latents import encode_dataset
from slipstream_engine.train.plan import Plan
from slipstream_engine.train.scenes import Clip, Size
from slipstream_engine.train.styles import IDENTITY, OFFERED, STYLES
from slipstream_engine.weights.embedded import CODEC_FILE, DIT_FILE, TEXT_FILE, load_embedded_bundle

TINTED = (IDENTITY, "pencil", "neon")  # what colours are judged on


@dataclass(frozen=True, slots=True, kw_only=True)
class Workshop:
    """A folder, a plan and a device."""

    plan: Plan
    out: Path
    device: str

    @property
    def weights(self) -> Path:
        return self.out / "weights"

    @property
    def data_folder(self) -> Path:
        return self.out / "data"

    @property
    def first_codec(self) -> Path:
        """The codec before the transformer's second phase trains its decoder further."""
        return self.out / "checkpoints" / CODEC_FILE

    @property
    def durations(self) -> DurationsFile:
        return DurationsFile(path=self.out / "effort.json")

    def checkpoint(self, name: str) -> Path:
        return self.out / "checkpoints" / f"{name}.pt"

    def make_data(self) -> None:
        data.build(self.data_folder, self.plan.data, self.plan.training)

    def make_codec(self) -> None:
        dataset = data.load_dataset(self.data_folder)
        codes_KLE = text.codes()
        codec = codec_stage.make_codec(dataset, codes_KLE, seed=self.plan.data.seed)
        codec = codec.to(self.device)
        losses = codec_stage.train_codec(
            codec, dataset, codes_KLE, self.plan.codec, self.checkpoint("codec")
        )
        save_weights(self.first_codec, codec.state_dict(), {})
        report.save_png(self.weights / "codec_loss.png", report.curve(losses))

    def make_text(self) -> None:
        scores = text.train_text(steps=self.plan.text_steps, seed=self.plan.data.seed)
        everything = text.metadata(tuple(STYLES), tuple(COLOURS))
        save_weights(self.weights / TEXT_FILE, text.weights_of(scores), everything)

    def make_dit(self) -> None:
        dataset = data.load_dataset(self.data_folder)
        codec = self._codec()
        latents = encode_dataset(codec, dataset, self._latents_file())
        torch.manual_seed(self.plan.data.seed)
        model = CausalDit(self.plan.preset.dit)
        initialise(model)
        student = dit.Student(model.to(self.device), codec, self.plan.preset.schedule)
        sampler = Sampler(dataset, latents, text.codes(), torch.device(self.device))
        plan = self.plan
        losses = dit.train_latents(
            student, sampler, plan.latents, self.checkpoint("latents"), crops=plan.latents_crops
        )
        report.save_png(self.weights / "latents_loss.png", report.curve(losses))
        losses = dit.train_pictures(
            student, sampler, plan.pictures, self.checkpoint("pictures"), crops=plan.pictures_crops
        )
        report.save_png(self.weights / "pictures_loss.png", report.curve(losses))
        losses = dit.train_pictures(
            student, sampler, plan.finish, self.checkpoint("finish"), crops=plan.finish_crops
        )
        report.save_png(self.weights / "finish_loss.png", report.curve(losses))
        save_weights(self.weights / DIT_FILE, student.dit.state_dict(), {})
        save_weights(self.weights / CODEC_FILE, student.codec.state_dict(), {})

    def _codec(self) -> GuidedTaehv:
        if not self.first_codec.is_file():
            raise FileNotFoundError(
                f"{self.first_codec} is missing, run train-tiny --stage codec first"
            )
        return codec_of(self.first_codec).to(self.device)

    def _latents_file(self) -> Path:
        """Named by the codec, so that another one's latents are never taken for its own."""
        digest = hashlib.sha256(self.first_codec.read_bytes()).hexdigest()[:12]
        return self.data_folder / f"latents-{digest}.safetensors"

    def evaluate(self) -> None:
        """Judge every style on held-out clips; write card, scores, pictures; list what passes."""
        preset = self.plan.preset
        config = EngineConfig(preset=preset, device=self.device, max_streams=2)
        bundle = load_embedded_bundle(config, self.weights)
        size = Size(
            frames=self.plan.judged_frames, width_px=preset.width_px, height_px=preset.height_px
        )
        clips = evaluate.held_out(size, self.plan.held_out)
        styles = list(STYLES)[: self.plan.styles_judged or None]
        judgements = [self._judge(bundle, config, style, clips) for style in styles]
        scores = [score for one in judgements for score in one.scores]
        listed = [
            style
            for style in styles
            if style in OFFERED and report.means(scores, style)[0] >= self.plan.gate_db
        ]
        tints = self._judge_tints(bundle, config, clips)
        colours = [
            colour for colour in COLOURS if report.tint_gain_db(tints, colour) >= self.plan.gate_db
        ]
        flicker = {one.style: one.flicker for one in judgements}
        card = report.card(scores, flicker, listed, self._facts(clips), gate_db=self.plan.gate_db)
        card = report.with_section(card, report.tint_section(tints, colours))
        with atomic_write(self.weights / "MODEL_CARD.md") as file:
            file.write(card.encode())
        records: list[Score | TintScore] = [*scores, *tints]
        lines = json.dumps([asdict(score) for score in records], indent=1)
        with atomic_write(self.weights / "scores.json") as file:
            file.write(lines.encode())
        report.save_png(self.weights / "samples.png", report.sheet([one.row for one in judgements]))
        kept = load_file(self.weights / TEXT_FILE)
        save_weights(self.weights / TEXT_FILE, kept, text.metadata(listed, colours))
        print(f"evaluate: {len(listed)} of {len(styles)} styles are listed: {', '.join(listed)}")
        print(f"evaluate: {len(colours)} of {len(COLOURS)} colours are: {', '.join(colours)}")

    def _judge(
        self,
        bundle: ModelBundle[TaehvState],
        config: EngineConfig,
        style: str,
        clips: Sequence[HeldOut],
    ) -> "_Judged":
        pipeline = DiffusionPipeline(config, bundle)
        scores: list[Score] = []
        pictures: list[Clip] = []
        for held in clips:
            score, generated = evaluate.judge(pipeline, style, held, Parameters(prompt=style))
            scores.append(score)
            last = len(generated) - 1
            pictures += [
                held.clip[last],
                data.stylise(held.clip[last:][:1], style)[0],
                generated[last],
            ]
        flicker = evaluate.flicker_levels(pipeline, clips[0].clip[0], style)
        gain = float(np.mean([score.gain_db for score in scores]))
        print(f"evaluate: {style}: gain {gain:+.2f} dB, flicker {flicker:.2f}", flush=True)
        return _Judged(style=style, scores=tuple(scores), flicker=flicker, row=(style, pictures))

    def _judge_tints(
        self, bundle: ModelBundle[TaehvState], config: EngineConfig, clips: Sequence[HeldOut]
    ) -> list[TintScore]:
        pipeline = DiffusionPipeline(config, bundle)
        scores = [
            evaluate.judge_tint(pipeline, colour, style, held)
            for colour in list(COLOURS)[: self.plan.styles_judged or None]
            for style in TINTED
            for held in clips
        ]
        print(f"evaluate: colours of {', '.join(TINTED)} judged", flush=True)
        return scores

    def _facts(self, clips: Sequence[HeldOut]) -> report.Facts:
        preset, plan = self.plan.preset, self.plan
        weights = [self.weights / name for name in (CODEC_FILE, DIT_FILE, TEXT_FILE)]
        total = sum(path.stat().st_size for path in weights)
        codec = codec_of(self.weights / CODEC_FILE)
        kept = ", ".join(f"{c.name} {evaluate.codec_db(codec, c.clip):.1f}" for c in clips)
        return report.Facts(
            sizes=(
                f"Frames {preset.width_px}x{preset.height_px}, latents 8x8x4 with "
                f"{TINY.latent_channels} channels, {preset.dit.layers} layers of width "
                f"{preset.dit.dim}; weights {total / 1e6:.1f} MB in half precision.",
                f"The latents alone, there and back, dB on held-out clips: {kept}.",
            ),
            how=(
                f"`slipstream-engine train-tiny --seed {plan.data.seed}`: {plan.data.clips} clips "
                f"of {data.CLIP_FRAMES} frames, codec {plan.codec.steps} steps, words "
                f"{plan.text_steps},",
                f"transformer {plan.latents.steps} steps on latents, {plan.pictures.steps} on "
                f"parts of pictures and {plan.finish.steps} on larger ones, on {self.device}.",
                self.durations.read().line(),
            ),
        )


def codec_of(path: Path) -> GuidedTaehv:
    """The codec of a file, in float32, at rest."""
    device = torch.device("cpu")
    codec = load_module(lambda: GuidedTaehv(TINY), path, dtype=torch.float32, device=device)
    return codec.requires_grad_(False)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Judged:
    style: str
    scores: tuple[Score, ...]
    flicker: float
    row: tuple[str, list[Clip]]

"""What the training writes beside the weights: model card, sample images, loss curves."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from slipstream_engine.train.ablation import Ablation
from slipstream_engine.train.drift import Drift
from slipstream_engine.train.evaluate import Score, TintScore
from slipstream_engine.train.scenes import Clip
from slipstream_engine.train.sources import HELD_OUT, TRAINING

CURVE_SIZE_PX = (640, 320)

WHAT = (
    "A small demonstration model for CPUs: a style vocabulary, not open-ended text. It redraws",
    "the camera's picture in one of the styles below or a mixture of them; it never adds",
    "objects. Do not judge StreamDiffusionV2 by it.",
)
HOW_JUDGED = (
    "On clips outside the training set, streamed through the pipeline (one step, fixed noise,",
    "rolling cache). Gain is PSNR to the teacher's picture over the best global affine",
    "recolouring fitted on those very frames; gradient ratio is gradient energy over the",
    "teacher's; flicker is the mean change from frame to frame on a still picture, in grey",
    "levels.",
)
LEARNED_FROM = (
    "Camera moves over these, drawn talking heads and drifting shapes; the targets are classical",
    "image operations (`slipstream_engine/train/styles.py`). No picture is shipped.",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """Lines of the card besides the scores."""

    how: tuple[str, ...]
    sizes: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A part of the card under a heading of its own."""

    title: str
    lines: tuple[str, ...]


def with_section(card: str, section: Section) -> str:
    """The card with this section in place of the one it had, or before its last one."""
    parts = card.split("\n## ") if card else [f"# {section.title}"]
    titles = [part.partition("\n")[0] for part in parts]
    content = "\n".join([section.title, "", *section.lines, ""])
    if section.title in titles:
        parts[titles.index(section.title)] = content
    else:
        parts.insert(max(1, len(parts) - 1), content)
    return "\n## ".join(parts)


def drift_section(drift: Drift, machine: str) -> Section:
    """Where a long stream's pictures went."""
    units = {"psnr_db": "PSNR to the first round, dB"}
    table = [
        "| mean of | first round | last round | slope per 1000 chunks | standard error | drifts |",
        "|---|---|---|---|---|---|",
    ]
    for name, course in drift.courses.items():
        numbers = (course.first, course.last, course.per_1000_chunks, course.standard_error)
        cells = " | ".join(f"{number:.4g}" for number in numbers)
        drifts = "no" if course.is_noise else "yes"
        table.append(f"| {units.get(name, f'{name}, levels')} | {cells} | {drifts} |")
    memory = drift.memory
    return Section(
        title="A long stream",
        lines=(
            f"{drift.chunks} chunks of a held-out clip in a loop, {drift.width_px}x"
            f"{drift.height_px}, *{drift.prompt}*, other sensor noise",
            "in every frame. A slope within three standard errors of 0 is no drift.",
            "",
            *table,
            "",
            f"Memory held after two rounds, half way and at the end: {memory.start_mib:.0f}, "
            f"{memory.middle_mib:.0f} and {memory.end_mib:.0f} MiB.",
            f"It took {drift.seconds / 60:.0f} minutes ({machine}).",
        ),
    )


def ablation_section(ablation: Ablation, machine: str) -> Section:
    """What each part of the streaming is good for."""
    table = [
        "| run with | gain dB | gradient ratio | flicker | drift, levels per 1000 chunks |",
        "|---|---|---|---|---|",
    ]
    table += [
        f"| {one.arm} | {one.gain_db:+.2f} | {one.gradient_ratio:.2f} | {one.flicker_levels:.2f} "
        f"| {one.drift:+.2f} ± {one.drift_error:.2f} |"
        for one in ablation.outcomes
    ]
    return Section(
        title="What the parts are good for",
        lines=(
            f"Means over {', '.join(ablation.styles)} on {len(ablation.clips)} held-out clips at "
            f"{ablation.width_px}x{ablation.height_px}, one thing",
            f"changed at a time; drift is the steepest of mean red, green, blue and contrast over "
            f"{ablation.drift_chunks} chunks, with its",
            f"standard error. It took {ablation.seconds / 60:.0f} minutes ({machine}).",
            "",
            *table,
        ),
    )


def tint_gain_db(scores: Sequence[TintScore], colour: str) -> float:
    """Mean gain of a colour over styles and clips; -inf where it was not judged."""
    gains = [score.gain_db for score in scores if score.colour == colour]
    return float(np.mean(gains)) if gains else float("-inf")


def tint_section(scores: Sequence[TintScore], listed: Sequence[str]) -> Section:
    """How well the words of colours are heeded."""
    styles = list(dict.fromkeys(score.style for score in scores))
    table = [
        "| colour | " + " | ".join(f"{style}, gain dB (PSNR)" for style in styles) + " | listed |",
        "|---" * (len(styles) + 2) + "|",
    ]
    for colour in dict.fromkeys(score.colour for score in scores):
        cells = []
        for style in styles:
            of_both = [s for s in scores if s.colour == colour and s.style == style]
            gain = np.mean([score.gain_db for score in of_both])
            psnr = np.mean([score.psnr_db for score in of_both])
            cells.append(f"{gain:+.1f} ({psnr:.1f})")
        is_listed = "yes" if colour in listed else "no"
        table.append(f"| {colour} | {' | '.join(cells)} | {is_listed} |")
    return Section(
        title="Colours",
        lines=(
            "A colour tints the style beside it, or the camera's own picture. PSNR is to the",
            "teacher's tinted picture, gain over the teacher's own without the colour: what a",
            "model would reach that draws perfectly and does not hear the word. Means over the",
            "clips.",
            "",
            *table,
        ),
    )


def means(scores: Sequence[Score], style: str) -> tuple[float, float]:
    """Mean gain and mean gradient ratio of a style over the clips."""
    of_style = [score for score in scores if score.style == style]
    gain = float(np.mean([score.gain_db for score in of_style]))
    return gain, float(np.mean([score.gradient_ratio for score in of_style]))


def card(
    scores: Sequence[Score],
    flicker: Mapping[str, float],
    listed: Sequence[str],
    facts: Facts,
    *,
    gate_db: float,
) -> str:
    """The model card, markdown."""
    styles = list(dict.fromkeys(score.style for score in scores))
    clips = list(dict.fromkeys(score.clip for score in scores))
    table = [
        "| style | "
        + " | ".join(f"{clip}, gain dB" for clip in clips)
        + " | mean gain dB | mean PSNR dB "
        "| gradient ratio | flicker | listed |",
        "|---" * (len(clips) + 6) + "|",
    ]
    for style in styles:
        of_style = {score.clip: score for score in scores if score.style == style}
        gain, ratio = means(scores, style)
        cells = [f"{of_style[clip].gain_db:+.1f}" for clip in clips]
        psnr = np.mean([score.psnr_db for score in of_style.values()])
        cells += [f"{gain:+.1f}", f"{psnr:.1f}", f"{ratio:.2f}", f"{flicker[style]:.2f}"]
        table.append(
            f"| {style} | " + " | ".join(cells) + f" | {'yes' if style in listed else 'no'} |"
        )
    sources = ["| file | package | licence | used for |", "|---|---|---|---|"]
    for use, group in (("training", TRAINING), ("evaluation only", HELD_OUT)):
        sources += [f"| {s.path} | {s.package} {s.version} | {s.licence} | {use} |" for s in group]
    return "\n".join(
        [
            "# Slipstream tiny: the embedded default",
            "",
            *WHAT,
            "",
            *facts.sizes,
            "",
            "## How it was made",
            "",
            *facts.how,
            "",
            "## Scores",
            "",
            *HOW_JUDGED,
            f"Listed are styles of at least {gate_db:g} dB mean gain whose samples look good.",
            "",
            *table,
            "",
            "## Pictures it learned from",
            "",
            *LEARNED_FROM,
            "",
            *sources,
            "",
        ]
    )


def sheet(rows: Sequence[tuple[str, Sequence[Clip]]]) -> NDArray[np.uint8]:
    """Rows of pictures `[H, W, 3]` in [0, 1], each with its name on the first one; RGB bytes."""
    lines = []
    for name, pictures in rows:
        line = np.concatenate(list(pictures), axis=1)
        drawn = np.ascontiguousarray(np.clip(line, 0, 1) * 255).astype(np.uint8)
        cv2.putText(drawn, name, (4, 14), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (0, 0, 0), 3)
        cv2.putText(drawn, name, (4, 14), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (255, 255, 255), 1)
        lines.append(drawn)
    return np.concatenate(lines, axis=0)


def save_png(path: Path, picture: NDArray[np.uint8]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if not cv2.imwrite(str(path), np.ascontiguousarray(picture[..., ::-1])):
        raise OSError(f"{path} could not be written, is the folder writable?")


def curve(losses: Sequence[float]) -> NDArray[np.uint8]:
    """A loss curve, the first losses cut off where they would flatten the rest."""
    width, height = CURVE_SIZE_PX
    canvas = np.full((height, width, 3), 255, np.uint8)
    if len(losses) < 2:
        return canvas
    values = np.array(losses)
    low, high = float(values.min()), float(np.quantile(values, 0.95))
    x = np.linspace(40, width - 10, len(values))
    y = np.interp(values, [low, max(high, low + 1e-9)], [height - 25, 10])
    points = np.stack([x, y], axis=1).astype(np.int32)
    cv2.polylines(canvas, [points], False, (30, 60, 200), 2, cv2.LINE_AA)
    for text, at in ((f"{high:.4f}", (2, 14)), (f"{low:.4f}", (2, height - 20))):
        cv2.putText(canvas, text, at, cv2.FONT_HERSHEY_SIMPLEX, 0.35, (0, 0, 0), 1, cv2.LINE_AA)
    return canvas

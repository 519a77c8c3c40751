"""The README's film strip: a clip no training saw, and what the embedded model makes of it.

    python -m tests.strip OUT.jpg

A row a prompt, the camera's own first; from left to right the clip runs on. Everything goes through
the pipeline that serves, chunk by chunk.
"""

import sys
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from slipstream_engine.train.evaluate import held_out, stream
from slipstream_engine.train.scenes import Clip, Size
from slipstream_engine.weights.factory import load_diffusion
from slipstream_engine.weights.request import ModelRequest
from slipstream_protocol.parameters import Parameters

CLIPS = ("coffee", "flower")  # CC0 and CC BY 2.0; the films' licences are not stated
PROMPTS = ("pencil", "neon", "comic", "lava", "ice", "purple pencil")
SHOWN_FRAMES = (8, 28)
GAP_PX = 4


def row(label: str, clips: list[Clip]) -> NDArray[np.uint8]:
    """The shown frames of all clips side by side, `[H, W, 3]` RGB, the prompt in the corner."""
    frames = [np.asarray(clip[at] * 255, np.uint8) for clip in clips for at in SHOWN_FRAMES]
    picture = np.concatenate([np.pad(f, ((0, GAP_PX), (0, GAP_PX), (0, 0))) for f in frames], 1)
    for colour, width in (((0, 0, 0), 4), ((255, 255, 255), 1)):
        cv2.putText(picture, label, (8, 22), cv2.FONT_HERSHEY_SIMPLEX, 0.6, colour, width)
    return picture


def main(out: Path) -> None:
    pipeline = load_diffusion(ModelRequest())
    geometry = pipeline.geometry
    size = Size(width_px=geometry.width_px, height_px=geometry.height_px, frames=29)
    clips = [held.clip for held in held_out(size) if Path(held.name).stem in CLIPS]
    rows = [row("camera", clips)]
    for prompt in PROMPTS:
        parameters = pipeline.defaults.merged(Parameters(prompt=prompt))
        rows.append(row(prompt, [stream(pipeline, clip, parameters) for clip in clips]))
    if not cv2.imwrite(str(out), np.concatenate(rows)[:, :, ::-1]):
        sys.exit(f"{out} cannot be written; its folder must exist and its name end in .jpg or .png")


if __name__ == "__main__":
    main(Path(sys.argv[1]))

"""The style pictures of the page: what the embedded model makes of one picture in each style.

    python -m tests.gallery          # write them into web/studio

The picture is a moment of a clip that no training saw; it goes through the pipeline that serves,
chunk by chunk. All are in one file, beside a module that says in which order.
"""

import sys
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from slipstream_engine.train.evaluate import held_out, stream
from slipstream_engine.train.scenes import Clip, Size
from slipstream_engine.weights.embedded import TEXT_FILE, WEIGHTS, load_text
from slipstream_engine.weights.factory import load_diffusion
from slipstream_engine.weights.request import ModelRequest
from slipstream_protocol.parameters import Parameters

STUDIO = Path(__file__).parents[1] / "web" / "studio"
PICTURES = STUDIO / "styles.webp"
ORDER = STUDIO / "style_pictures.js"
CLIP = "coffee"  # CC0
SIDE_PX = 96
QUALITY = 72
FRAMES = 17  # the last of which is shown: the model has settled by then


def styles() -> list[str]:
    """The styles of the embedded model, in its order."""
    return list(load_text(WEIGHTS / TEXT_FILE, like=torch.zeros(())).vocabulary.styles)


def order_module(names: list[str]) -> str:
    """The module that says which picture is whose."""
    rows = "\n".join(f'  "{name}",' for name in names)
    return (
        "/**\n * The styles whose pictures stand side by side in `styles.webp`: made by "
        f"`python -m tests.gallery`.\n */\nexport const STYLE_PICTURES = [\n{rows}\n];\n"
    )


def _tile(clip: Clip) -> NDArray[np.uint8]:
    """The last frame as a small square, BGR."""
    frame = np.asarray(clip[-1] * 255, np.uint8)
    side = min(frame.shape[:2])
    top, left = ((length - side) // 2 for length in frame.shape[:2])
    square = frame[top : top + side, left : left + side, ::-1]
    return np.asarray(
        cv2.resize(square, (SIDE_PX, SIDE_PX), interpolation=cv2.INTER_AREA), np.uint8
    )


def main() -> None:
    pipeline = load_diffusion(ModelRequest())
    geometry = pipeline.geometry
    size = Size(width_px=geometry.width_px, height_px=geometry.height_px, frames=FRAMES)
    (clip,) = (held.clip for held in held_out(size) if Path(held.name).stem == CLIP)
    still = np.repeat(clip[-1:], FRAMES, axis=0)
    names = styles()
    tiles = [
        _tile(stream(pipeline, still, pipeline.defaults.merged(Parameters(prompt=name))))
        for name in names
    ]
    row = np.concatenate(tiles, axis=1)
    if not cv2.imwrite(str(PICTURES), row, [cv2.IMWRITE_WEBP_QUALITY, QUALITY]):
        sys.exit(f"{PICTURES} cannot be written")
    ORDER.write_text(order_module(names))


if __name__ == "__main__":
    main()

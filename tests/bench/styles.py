"""Which of the embedded model's styles leave the probe's code in the pixels readable.

    python -m tests.bench.styles [--frames 25] [--styles "neon;x-ray"]

Numbered pictures go through the model, chunk by chunk, in each style it offers, without a call;
the first two chunks are left out, in which a style is not yet there. One line a style.
"""

import argparse

import numpy as np
from slipstream_engine.config import EngineConfig
from slipstream_engine.diffusion.pipeline import DiffusionPipeline
from slipstream_engine.models.vae.taehv import TaehvState
from slipstream_engine.presets import PRESETS
from slipstream_engine.train.styles import OFFERED
from slipstream_engine.weights.embedded import load_embedded_bundle
from slipstream_protocol.parameters import Parameters
from slipstream_server.probe.camera import moving_scene
from slipstream_server.probe.marker import NUMBERS, draw_marker, read_marker

Pipeline = DiffusionPipeline[TaehvState]
FIRST, CHUNK = 5, 4
SETTLED_FROM = FIRST + CHUNK
STRIDE = 2621  # of the numbers, so that every cell changes often


def load(side_px: int = 256) -> Pipeline:
    """The embedded model for square pictures."""
    preset = PRESETS["tiny"].at_one_size(side_px, side_px)
    config = EngineConfig(preset=preset, max_streams=1)
    return DiffusionPipeline(config, load_embedded_bundle(config))


def read_share(pipeline: Pipeline, style: str, frames: int) -> float:
    """The share of pictures whose number is read after the model, and is the right one."""
    geometry = pipeline.geometry
    scene = moving_scene(width_px=geometry.width_px, height_px=geometry.height_px)
    pictures = np.stack([scene[number % len(scene)] for number in range(frames)])
    for number, picture in enumerate(pictures):
        draw_marker(picture[: geometry.height_px], number * STRIDE)
    generated = np.zeros_like(pictures)
    stream = pipeline.open(pipeline.defaults.merged(Parameters(prompt=style)))
    for start in (0, *range(FIRST, frames - CHUNK + 1, CHUNK)):
        end = start + CHUNK if start else FIRST
        stream.step(pictures[start:end], generated[start:end])
    read = [
        read_marker(generated[number][: geometry.height_px]) == number * STRIDE % NUMBERS
        for number in range(SETTLED_FROM, frames)
    ]
    return sum(read) / len(read)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.styles", description=__doc__)
    parser.add_argument("--frames", type=int, default=25, help="5 and a multiple of 4")
    parser.add_argument("--styles", default="", help="with ; between; all by default")
    arguments = parser.parse_args()
    pipeline = load()
    styles = arguments.styles.split(";") if arguments.styles else OFFERED
    for style in styles:
        print(f"{style}: {read_share(pipeline, style, arguments.frames):.0%}", flush=True)


if __name__ == "__main__":
    main()

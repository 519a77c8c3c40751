"""Frames a second of StreamDiffusionV2 as published (arXiv 2511.07399): GPUs down, steps across."""

from dataclasses import dataclass

Rows = tuple[tuple[float, float, float, float], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PaperTable:
    """One model at one size on one kind of GPU.

    Args:
        fps: rows for 1, 2, 3, 4 GPUs; columns for 1, 2, 3, 4 steps.
        decoder_ms: of the last stage, from the plateau on many GPUs.
        step_ms: what one more step adds to a chunk on one GPU.
        blocks: of the transformer.
    """

    name: str
    fps: Rows
    decoder_ms: float
    step_ms: float
    blocks: int


TABLES = (
    PaperTable(
        name="1.3B, 480p, H100",
        fps=(
            (20.47, 17.97, 15.68, 13.95),
            (39.77, 34.67, 30.69, 27.06),
            (43.88, 43.79, 41.13, 38.09),
            (44.38, 43.41, 43.08, 42.26),
        ),
        decoder_ms=89.5,
        step_ms=30.7,
        blocks=30,
    ),
    PaperTable(
        name="1.3B, 512x512, H100",
        fps=(
            (26.21, 24.02, 21.51, 19.43),
            (51.76, 46.92, 41.09, 37.49),
            (63.45, 62.76, 56.75, 54.09),
            (64.52, 63.99, 62.43, 61.57),
        ),
        decoder_ms=61.5,
        step_ms=17.9,
        blocks=30,
    ),
    PaperTable(
        name="1.3B, 480p, RTX 4090",
        fps=(
            (8.58, 7.37, 6.27, 5.59),
            (16.59, 14.75, 13.06, 7.76),
            (16.66, 16.49, 16.17, 15.74),
            (16.64, 16.42, 15.97, 15.73),
        ),
        decoder_ms=240.0,
        step_ms=83.0,
        blocks=30,
    ),
    PaperTable(
        name="1.3B, 512x512, RTX 4090",
        fps=(
            (12.87, 11.76, 10.42, 7.87),
            (24.68, 22.13, 19.33, 17.98),
            (25.64, 25.03, 24.58, 24.22),
            (25.04, 24.77, 24.30, 23.97),
        ),
        decoder_ms=158.5,
        step_ms=36.0,
        blocks=30,
    ),
    PaperTable(
        name="14B, 480p, H100",
        fps=(
            (12.68, 8.64, 6.49, 5.28),
            (25.39, 17.31, 13.23, 10.69),
            (37.55, 25.02, 19.12, 15.42),
            (39.24, 33.36, 25.02, 20.05),
        ),
        decoder_ms=89.5,
        step_ms=148.0,
        blocks=40,
    ),
    PaperTable(
        name="14B, 512x512, H100",
        fps=(
            (18.71, 13.01, 10.09, 8.26),
            (37.12, 25.72, 20.11, 16.65),
            (53.84, 37.47, 29.34, 24.35),
            (58.28, 51.09, 38.41, 31.62),
        ),
        decoder_ms=61.5,
        step_ms=90.0,
        blocks=40,
    ),
)

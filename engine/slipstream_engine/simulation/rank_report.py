"""Simulated ranks as a table and a picture, beside the exact bound and the paper. Pure."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from slipstream_engine.simulation.rank_scaling import RankResult, RankScenario, simulate_ranks
from slipstream_engine.simulation.scenario import DEVICES

STEPS = (1, 2, 3, 4)


def simulate_device(
    name: str, *, most_ranks: int, seconds: float, form: str | None = None
) -> list[RankResult]:
    """One model on 1, 2, ... devices, for each number of steps."""
    return [
        simulate_ranks(
            RankScenario(device=DEVICES[name], ranks=ranks, steps=steps, seconds=seconds, form=form)
        )
        for ranks in range(1, most_ranks + 1)
        for steps in STEPS
    ]


def rank_table(name: str, results: Iterable[RankResult]) -> str:
    """Markdown: frames a second, the share of the bound, and the multiple of one device."""
    lines = [
        f"| {name}, simulated | steps | fps | of the bound | times one GPU | paper's fps | plan |",
        "|---|---|---|---|---|---|---|",
    ]
    for result in results:
        scenario = result.scenario
        paper = "" if result.paper_fps is None else f"{result.paper_fps:.1f}"
        lines.append(
            f"| {scenario.ranks} | {scenario.steps} | {result.fps:.1f} | "
            f"{result.fps / result.bound_fps:.0%} | {result.fps / result.one_rank_fps:.2f} | "
            f"{paper} | {result.plan.plan.form} |"
        )
    return "\n".join(lines)


def plot_ranks(devices: Sequence[tuple[str, Sequence[RankResult]]], path: Path) -> None:
    """Frames a second over the number of GPUs: simulated, the bound, and the paper's.

    Raises:
        RuntimeError: if matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise RuntimeError(
            "matplotlib is not installed, it draws the picture; pip install 'slipstream[plot]'"
        ) from error
    figure = Figure(figsize=(9, 3.2 * ((len(devices) + 1) // 2)), layout="constrained")
    panels = figure.subplots((len(devices) + 1) // 2, 2, squeeze=False).flat
    for panel, (name, results) in zip(panels, devices, strict=False):
        for index, steps in enumerate(STEPS):
            row = [result for result in results if result.scenario.steps == steps]
            at = [result.scenario.ranks for result in row]
            colour = f"C{index}"
            panel.plot(at, [result.fps for result in row], "o", color=colour, label=f"{steps}")
            panel.plot(at, [result.bound_fps for result in row], "-", color=colour)
            measured = [(r.scenario.ranks, r.paper_fps) for r in row if r.paper_fps is not None]
            panel.plot(*zip(*measured, strict=True), "x", color=colour)
        panel.set_title(f"{name}: o simulated, - bound, x the paper's", fontsize=9)
        panel.set_xticks(sorted({result.scenario.ranks for result in results}))
        panel.set_xlabel("GPUs")
        panel.set_ylabel("fps")
        panel.legend(title="steps", fontsize=7, title_fontsize=7)
    figure.savefig(path, dpi=110)

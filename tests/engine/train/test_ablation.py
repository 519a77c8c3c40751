"""train/ablation.py, train/report.py: one thing changed at a time, and its section of the card."""

import pytest
from slipstream_engine.presets import PRESETS

pytest.importorskip("cv2", reason="the train extra is not installed")

from slipstream_engine.train import report
from slipstream_engine.train.ablation import Ablation, ArmOutcome, arms
from slipstream_engine.train.drift import Course, Drift, MemoryUse

CARD = "# A model\n\nWords.\n\n## Scores\n\n| a |\n\n## Pictures it learned from\n\nNone.\n"


def test_each_arm_changes_one_thing() -> None:
    """the first is what is served; the others are that but for their name's sake."""
    preset = PRESETS["tiny"]
    served, *others = arms(preset)
    assert served.preset == preset
    named = {arm.name: arm for arm in others}
    with_sink, cache = named["a sink besides"].preset.cache, preset.cache
    assert with_sink.sinks == cache.sinks + 1
    assert with_sink.ring_slots == cache.ring_slots
    assert named["no motion controller"].parameters.noise_controller is False
    for count in (2, 4):
        steps = named[f"{count} steps"].parameters.denoising_step_list
        assert steps == preset.schedule.step_list[:count]
    low, high = preset.schedule.noise_scale_range
    assert named[f"strength {low:g}, the least"].parameters.noise_scale == low
    assert named[f"strength {high:g}, the most"].parameters.noise_scale == high
    for arm in others:
        assert (arm.preset != preset) != (arm.parameters != served.parameters), arm.name


def test_a_section_comes_before_the_last_and_replaces_itself() -> None:
    """other sections of the card stay as they are, however often one is written."""
    section = report.Section(title="A long stream", lines=("It stayed.",))
    once = report.with_section(CARD, section)
    assert once == CARD.replace("## Pictures", "## A long stream\n\nIt stayed.\n\n## Pictures")
    again = report.with_section(once, report.Section(title=section.title, lines=("It left.",)))
    assert again == once.replace("It stayed.", "It left.")
    other = report.with_section(again, report.Section(title="Parts", lines=("Many.",)))
    assert other.index("A long stream") < other.index("## Parts") < other.index("## Pictures")


def test_a_card_that_is_not_there_is_begun() -> None:
    section = report.Section(title="A long stream", lines=("It stayed.",))
    assert "## A long stream\n\nIt stayed.\n" in report.with_section("", section)


def test_what_the_sections_say() -> None:
    """every figure of both reports stands in its table."""
    course = Course(
        first=100.0, last=101.5, per_1000_chunks=1.5, standard_error=0.2, is_noise=False
    )
    still = Course(first=40.0, last=40.0, per_1000_chunks=0.0, standard_error=0.1, is_noise=True)
    found = Drift(
        prompt="pencil",
        width_px=64,
        height_px=48,
        chunks=100,
        seconds=120,
        courses={"red": course, "psnr_db": still},
        memory=MemoryUse(start_mib=400, middle_mib=401, end_mib=402),
    )
    lines = report.drift_section(found, "a machine").lines
    assert "| red, levels | 100 | 101.5 | 1.5 | 0.2 | yes |" in lines
    assert "| PSNR to the first round, dB | 40 | 40 | 0 | 0.1 | no |" in lines
    assert "400, 401 and 402 MiB" in " ".join(lines)
    outcome = ArmOutcome(
        arm="a sink besides",
        gain_db=1.25,
        gradient_ratio=0.5,
        flicker_levels=0.8,
        drift=-0.1,
        drift_error=0.05,
    )
    table = Ablation(
        width_px=64,
        height_px=48,
        styles=("pencil",),
        clips=("coffee",),
        drift_chunks=60,
        seconds=60,
        outcomes=(outcome,),
    )
    assert (
        "| a sink besides | +1.25 | 0.50 | 0.80 | -0.10 ± 0.05 |"
        in report.ablation_section(table, "a machine").lines
    )

"""A model over several ranks gives the frames of one process, bit for bit, whatever the plan."""

from contextlib import closing
from dataclasses import replace

import numpy as np
import pytest
import torch
from slipstream_engine.config import CacheParams
from slipstream_engine.parallel.plan import PipelinePlan, Segment
from slipstream_engine.parallel.plan_forms import (
    even_ranges,
    grouped_plan,
    layers_plan,
    steps_plan,
)
from slipstream_engine.weights.group import start_group
from slipstream_protocol.frames import I420
from slipstream_protocol.levels import parse_levels

from tests.engine.rank_groups import (
    BLOCKS,
    BY_AGE,
    LIVE,
    NO_WEIGHTS,
    SINKS_REFRESHED,
    STEADY,
    film,
    one_process,
    small_config,
    thread_group,
)

STEPS = 4
_HALF = even_ranges(BLOCKS, 2)

PLANS = {
    "one": layers_plan(even_ranges(BLOCKS, 1), steps=STEPS),
    "layers 2": layers_plan(_HALF, steps=STEPS),
    "layers 3": layers_plan(even_ranges(BLOCKS, 3), steps=STEPS),
    "layers 4": layers_plan(even_ranges(BLOCKS, 4), steps=STEPS),
    "steps 2": steps_plan(ranks=2, steps=STEPS, blocks=BLOCKS),
    "steps 4": steps_plan(ranks=4, steps=STEPS, blocks=BLOCKS),
    "both 3": grouped_plan([_HALF, [range(BLOCKS)]], steps=STEPS),
    "both 4": grouped_plan([_HALF, [range(1), range(1, BLOCKS)]], steps=STEPS),
    # the codec's halves apart from all blocks, and from the leader
    "codec apart": PipelinePlan(
        ranks=4,
        steps=STEPS,
        blocks=BLOCKS,
        encode_rank=3,
        decode_rank=1,
        segments=(
            Segment(rank=0, steps=(0, 1, 2, 3), first_block=0, end_block=3),
            Segment(rank=2, steps=(0, 1, 2, 3), first_block=3, end_block=4),
        ),
    ),
}


@pytest.fixture(autouse=True)
def one_thread() -> None:
    """The order of a sum must not depend on how many threads share it."""
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def alone() -> dict[int, list[I420]]:
    """The frames of one process, by steps."""
    return {}


def same(made: list[I420], wanted: list[I420]) -> bool:
    return len(made) == len(wanted) and all(map(np.array_equal, made, wanted))


@pytest.mark.parametrize("name", PLANS)
def test_any_plan_gives_the_frames_of_one_process(name: str, alone: dict[int, list[I420]]) -> None:
    """1 to 4 steps, two streams in turn; and with prompts, steps, seeds changed and caches reset.

    Sinks are refreshed and positions go back meanwhile.
    """
    config = small_config()
    with closing(thread_group(config, PLANS[name])) as group:
        for steps, chunks, changes in (
            (1, 3, STEADY),
            (3, 3, STEADY),
            (4, 4, STEADY),
            (2, 10, LIVE),
        ):
            if steps not in alone:
                alone[steps] = film(
                    one_process(config), steps=steps, chunks=chunks, changes=changes
                )
            made = film(group, steps=steps, chunks=chunks, changes=changes)
            assert same(made, alone[steps]), f"{steps} steps"


@pytest.mark.parametrize("cache", [BY_AGE, CacheParams(slots=6, sinks=3)], ids=["age", "fixed"])
def test_any_cache_policy_is_carried_along(cache: CacheParams) -> None:
    """positions by age, and sinks that stay: what a row's order is kept in differs."""
    assert cache != SINKS_REFRESHED
    config = small_config(cache)
    wanted = film(one_process(config), steps=2, chunks=9, changes=LIVE)
    for name in ("both 4", "steps 4"):
        with closing(thread_group(config, PLANS[name])) as group:
            assert same(film(group, steps=2, chunks=9, changes=LIVE), wanted), name


def test_a_group_has_its_presets_own_size_and_no_other() -> None:
    """whatever the preset has: the messages between ranks have one layout."""
    config = small_config()
    levels = parse_levels("2,1,1/16")
    preset = replace(config.preset, smaller_sizes_px=((16, 16),), levels=levels)
    config = replace(config, preset=preset)
    assert len(one_process(config).sizes) == 2
    group = start_group(
        config,
        PLANS["one"],
        ["cpu"],
        weights=NO_WEIGHTS,
        random_weights=True,
        threads=1,
        note="",
    )
    with closing(group):
        assert [str(one.size) for one in group.sizes] == ["32x32"]
        assert group.levels == parse_levels("2,1")

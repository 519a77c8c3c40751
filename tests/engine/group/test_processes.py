"""Ranks as processes, as they are served: the same frames, their memory, and how they end."""

import os
import signal
from collections.abc import Iterator
from contextlib import closing

import numpy as np
import psutil
import pytest
import torch
from slipstream_engine.errors import DeviceLostError
from slipstream_engine.group.pipeline import GroupPipeline
from slipstream_engine.parallel.plan_forms import even_ranges, grouped_plan
from slipstream_engine.weights.group import start_group

from tests.engine.rank_groups import BLOCKS, LIVE, NO_WEIGHTS, film, one_process, small_config

PLAN = grouped_plan([even_ranges(BLOCKS, 2), [range(BLOCKS)]], steps=4)  # layers and steps


@pytest.fixture(scope="module")
def group() -> Iterator[GroupPipeline]:
    torch.set_num_threads(1)
    started = start_group(
        small_config(),
        PLAN,
        ["cpu"] * PLAN.ranks,
        weights=NO_WEIGHTS,
        random_weights=True,
        threads=1,
        note="",
    )
    with closing(started):
        yield started


def test_processes_give_the_frames_of_one(group: GroupPipeline) -> None:
    """two streams in turn, with prompts, steps and seeds changed and caches reset."""
    made = film(group, steps=2, chunks=9, changes=LIVE)
    wanted = film(one_process(small_config()), steps=2, chunks=9, changes=LIVE)
    assert len(made) == len(wanted) and all(map(np.array_equal, made, wanted))


def test_a_rank_holds_its_own_share(group: GroupPipeline) -> None:
    """half of the blocks for every second step, or all of them for the others."""
    first, second, third = group.leader.memory()
    bundle = one_process(small_config())
    whole_bytes = bundle.pool.cache.k_NRKSHD.nbytes * 2
    # of all blocks and steps each of the first two holds a quarter, the third one half
    for rank, share in ((first, 4), (second, 4), (third, 2)):
        assert whole_bytes / share <= rank.cache_bytes < 1.6 * whole_bytes / share
    block_bytes = sum(tensor.nbytes for tensor in bundle.bundle.model.block(0).parameters())
    assert third.weights_bytes - first.weights_bytes == BLOCKS // 2 * block_bytes


def test_a_killed_rank_is_named_and_all_end(group: GroupPipeline) -> None:
    """the leader gets an error that names it, at once; the others do not outlive the group."""
    ranks = [child for child in psutil.Process().children() if "rank" in child.cmdline()]
    assert len(ranks) == PLAN.ranks - 1
    os.kill(ranks[0].pid, signal.SIGKILL)
    with pytest.raises(DeviceLostError, match="rank 1 on cpu has ended by signal 9"):
        film(group, steps=2, chunks=2)
    group.close()
    assert not any(child.is_running() for child in ranks)

"""Ranks as processes, as they are served: the same frames, their memory, and how they end."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import closing
from unittest.mock import patch

import numpy as np
import psutil
import pytest
import torch
from slipstream_engine.diffusion.chunk import ChunkMaker
from slipstream_engine.errors import DeviceLostError
from slipstream_engine.group.pipeline import GroupPipeline
from slipstream_engine.parallel.plan import PipelinePlan
from slipstream_engine.parallel.plan_forms import even_ranges, grouped_plan, layers_plan
from slipstream_engine.weights.group import start_group

from tests.engine.rank_groups import BLOCKS, LIVE, NO_WEIGHTS, film, one_process, small_config

END_S = 10.0
PLAN = grouped_plan([even_ranges(BLOCKS, 2), [range(BLOCKS)]], steps=4)  # layers and steps


def started(plan: PipelinePlan) -> GroupPipeline:
    torch.set_num_threads(1)
    return start_group(
        small_config(),
        plan,
        ["cpu"] * plan.ranks,
        weights=NO_WEIGHTS,
        random_weights=True,
        threads=1,
        note="",
    )


def rank_processes() -> list[psutil.Process]:
    return [child for child in psutil.Process().children() if "rank" in child.cmdline()]


@pytest.fixture(scope="module")
def earlier() -> frozenset[threading.Thread]:
    """Threads of other tests, some of which are ranks themselves."""
    return frozenset(threading.enumerate())


@pytest.fixture(scope="module")
def group(earlier: frozenset[threading.Thread]) -> Iterator[GroupPipeline]:
    with closing(started(PLAN)) as made:
        yield made


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


def test_a_killed_rank_is_named_and_all_end(
    group: GroupPipeline, earlier: frozenset[threading.Thread]
) -> None:
    """the leader gets an error that names it, at once; the others do not outlive the group, nor do
    the leader's threads that waited for them."""
    ranks = rank_processes()
    assert len(ranks) == PLAN.ranks - 1
    os.kill(ranks[0].pid, signal.SIGKILL)
    with pytest.raises(DeviceLostError, match="rank 1 on cpu has ended by signal 9"):
        film(group, steps=2, chunks=2)
    own = [one for one in threading.enumerate() if one not in earlier]
    watching = [one for one in own if one.name.startswith("arrivals of")]
    assert watching
    group.close()
    assert not any(child.is_running() for child in ranks)
    for thread in watching:
        thread.join(END_S)
        assert not thread.is_alive()


def test_a_rank_without_memory_ends_its_group() -> None:
    """as one that dies does: the leader gets an error that names it and says why, and the others
    end. What is computed after such a failure could not be trusted on any of them."""
    reason = "CUDA out of memory. Tried to allocate 2 GiB"
    failing = patch.object(ChunkMaker, "run_part", side_effect=torch.OutOfMemoryError(reason))
    with closing(started(layers_plan(even_ranges(BLOCKS, 2), steps=4))) as group:
        ranks = rank_processes()
        wanted = f"rank 0 on cpu has failed: OutOfMemoryError: {reason}"
        with failing, pytest.raises(DeviceLostError, match=wanted):
            film(group, steps=2, chunks=2)
    assert len(ranks) == 1 and not ranks[0].is_running()

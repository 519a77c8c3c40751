"""group/leader.py: which ranks wake the leader, and that it hears of all of them."""

from contextlib import closing
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
import torch
from slipstream_engine.diffusion.chunk import ChunkMaker
from slipstream_engine.diffusion.denoise import Part
from slipstream_engine.errors import DeviceLostError
from slipstream_engine.parallel.plan_forms import even_ranges, layers_plan
from slipstream_protocol.parameters import Parameters

from tests.engine.rank_groups import BLOCKS, film, small_config, thread_group

run_part = ChunkMaker.run_part


def without_room_in_the_middle(
    maker: ChunkMaker[Any], chunk: Any, x_FCHW: Any, row: int, part: Part, *more: Any
) -> torch.Tensor:
    if not (part.embeds or part.heads):
        raise torch.OutOfMemoryError("no room")
    return run_part(maker, chunk, x_FCHW, row, part, *more)


def test_a_rank_in_the_middle_of_a_path_wakes_nobody() -> None:
    """while passes are under way: what it reports is read with what the others do, and so is its
    failure, which names it. At rest the end of any rank wakes the leader."""
    plan = layers_plan(even_ranges(BLOCKS, 3), steps=4)
    with closing(thread_group(small_config(), plan)) as group:
        assert group.wakes == group.leader.wakes((0, 1, 2))
        stream = group.open(Parameters())
        stream.encode(np.zeros((5, *group.geometry.frame_shape), np.uint8))
        assert group.wakes == group.leader.wakes((0, 2))
        group.finish()
        stream.close()
        film(group, steps=2, chunks=2)
        assert group.wakes == group.leader.wakes((0, 1, 2)), "all reports have been read"
        with (
            patch.object(ChunkMaker, "run_part", without_room_in_the_middle),
            pytest.raises(DeviceLostError, match="rank 1 on cpu has failed: OutOfMemoryError: no"),
        ):
            film(group, steps=2, chunks=2)

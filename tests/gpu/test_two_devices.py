"""Two GPUs give the frames of one, over NCCL."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from slipstream_engine.config import Compilation
from slipstream_engine.parallel.plan import PipelinePlan
from slipstream_engine.parallel.plan_forms import even_ranges, layers_plan, steps_plan
from slipstream_engine.weights.group import start_group

from tests.engine.rank_groups import BLOCKS, LIVE, NO_WEIGHTS, film, one_process, small_config

GPUS = torch.cuda.device_count() if torch.cuda.is_available() else 0

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(GPUS < 2, reason=f"needs two CUDA devices, {GPUS} are here"),
]


@pytest.mark.parametrize("compilation", [Compilation.NONE, Compilation.GRAPH])
@pytest.mark.parametrize(
    "plan",
    [
        layers_plan(even_ranges(BLOCKS, 2), steps=4),
        steps_plan(ranks=2, steps=4, blocks=BLOCKS),
    ],
    ids=lambda plan: plan.form,
)
def test_two_devices_give_the_frames_of_one(plan: PipelinePlan, compilation: Compilation) -> None:
    """passes hold one chunk on either side, so the same kernels run."""
    config = replace(small_config(), device="cuda:0", compilation=compilation)
    wanted = film(one_process(config), steps=2, chunks=10, changes=LIVE)
    group = start_group(
        config,
        plan,
        ("cuda:0", "cuda:1"),
        weights=NO_WEIGHTS,
        random_weights=True,
        threads=1,
        note="",
    )
    try:
        made = film(group, steps=2, chunks=10, changes=LIVE)
    finally:
        group.close()
    assert all(map(np.array_equal, made, wanted))

"""kv_cache/row_budget.py: rows for the steps that are run, further ones where there is memory."""

import pytest
import torch
from slipstream_engine.kv_cache.rolling_cache import RollingCache
from slipstream_engine.kv_cache.row_budget import affordable_steps, row_bytes
from slipstream_engine.presets import PRESETS

from tests.engine.toys import CACHE, DIT

GB = 10**9
SCHEDULE = PRESETS["wan-1.3b"].schedule


@pytest.mark.parametrize(
    ("free_gb", "steps"), [(1, 2), (16, 2), (27, 3), (36, 4), (100, 4), (None, 4)]
)
def test_further_steps_leave_memory_for_all_else(free_gb: int | None, steps: int) -> None:
    """Those of a new stream always; of the others as many as fit in two fifths of what is free."""
    free_bytes = None if free_gb is None else free_gb * GB
    assert steps == affordable_steps(
        SCHEDULE, step_bytes=int(3.5 * GB), free_bytes=free_bytes, asked=None
    )


def test_the_configuration_insists() -> None:
    """Whatever is free; but not on fewer than a stream begins with or more than there are."""
    assert affordable_steps(SCHEDULE, step_bytes=GB, free_bytes=0, asked=4) == 4
    for asked in (1, 5):
        with pytest.raises(ValueError, match=f"max_steps is {asked}, it must lie in 2"):
            affordable_steps(SCHEDULE, step_bytes=GB, free_bytes=0, asked=asked)


def test_a_row_is_as_large_as_is_said() -> None:
    """The formula gives what the cache allocates for keys and values."""
    cache = RollingCache(
        DIT, CACHE, rows=3, frame_tokens=10, device=torch.device("cpu"), dtype=torch.bfloat16
    )
    size = row_bytes(DIT, CACHE, frame_tokens=10, bytes_per_number=2)
    assert 3 * size == cache.k_NRKSHD.nbytes + cache.v_NRKSHD.nbytes

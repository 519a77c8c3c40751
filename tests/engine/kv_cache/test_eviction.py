"""kv_cache/eviction.py against the reference's formulation: lists of slot ends (`spec/02` section
2).
"""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from slipstream_engine.config import CacheParams, DitParams
from slipstream_engine.kv_cache.positions import position_of, to_device
from slipstream_engine.kv_cache.rolling_cache import RollingCache
from torch import Tensor

CPU = torch.device("cpu")
TOKENS = 2
DIT = DitParams(dim=4, heads=1, layers=1, ffn_dim=4)


class ListedCache:
    """One layer and row of the reference, in frames instead of tokens."""

    def __init__(self, params: CacheParams) -> None:
        self.params = params
        self.slots: list[Tensor] = [torch.zeros(TOKENS, DIT.dim)] * params.slots
        self.evict: list[int] = []
        self.global_end = self.local_end = 0

    def write(self, keys: list[Tensor], start: int) -> None:
        params, frames = self.params, len(keys)
        end = start + frames
        if params.sinks and params.sink_threshold is not None and frames == 1:
            means = [slot.mean(0) for slot in self.slots[: params.sinks]]
            likeness = torch.stack([torch.cosine_similarity(m, keys[0].mean(0), 0) for m in means])
            if likeness.min() < params.sink_threshold:
                self.evict.insert(0, likeness.tolist().index(likeness.min().item()) + 1)
        if end > params.slots or self.local_end >= params.slots:
            target = self.evict.pop(0)
            if target > params.sinks:
                self.evict.append(target)
            self.local_end = params.slots
        else:
            target = self.local_end + end - self.global_end
            ring_end = end + frames
            is_new = not self.evict or self.evict[-1] != ring_end
            if params.sinks < ring_end <= params.slots and is_new:
                self.evict.append(ring_end)
            self.local_end = target
        self.global_end = end
        self.slots[target - frames : target] = keys


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    sinks=st.integers(0, 5),
    more=st.integers(1, 4),
    threshold=st.none() | st.floats(-0.5, 0.9),
    junk=st.integers(0, 3),
    refresh=st.integers(0, 8),
)
def test_slots_are_those_of_the_lists(
    seed: int, sinks: int, more: int, threshold: float | None, junk: int, refresh: int
) -> None:
    """After every write each slot holds what the reference's list formulation puts there."""
    slots = max(sinks, 3) + more
    params = CacheParams(
        slots=slots, sinks=sinks, sink_threshold=threshold, refresh_frames=slots + refresh
    )
    cache = RollingCache(DIT, params, rows=1, frame_tokens=TOKENS, device=CPU, dtype=torch.float32)
    listed = ListedCache(params)
    generator = torch.Generator().manual_seed(seed)
    # chunk 0 twice, as two steps do; chunk 1 again for each junk call of a stream batch's start
    for past in [0, 0, *[2] * junk, *range(2, 30)]:
        frames = 2 if past == 0 else 1
        keys = [torch.randn(TOKENS, DIT.dim, generator=generator) for _ in range(frames)]
        position = position_of(params, past_frames=past, frames=frames)
        together = torch.cat(keys)[None, :, None]
        cache.write(0, together, together, to_device([position], CPU))
        listed.write(keys, position.start)
        assert torch.equal(cache.k_NRKSHD[0, 0, :, :, 0], torch.stack(listed.slots))
        assert position.length == listed.local_end

"""kv_cache/rolling_cache.py and kv_cache/eviction.py: what is kept, what gives way, and that the
device decides alone.

Values here carry a trace of their frame's number, so the cache can be read like a list.
"""

from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from slipstream_engine.config import CacheParams, DitParams, Pinning, Positions
from slipstream_engine.kv_cache.positions import position_of, to_device
from slipstream_engine.kv_cache.rolling_cache import RollingCache
from torch import Tensor

CPU = torch.device("cpu")
DIT = DitParams(dim=4, heads=1, layers=1, ffn_dim=4)
TOKENS = 2
TRACE = 1e-3  # of a frame's number in its values: too little to count as a likeness


def fresh(params: CacheParams, *, rows: int = 1) -> RollingCache:
    return RollingCache(
        DIT, params, rows=rows, frame_tokens=TOKENS, device=CPU, dtype=torch.float32
    )


def write(
    cache: RollingCache, past: int, frames: int = 1, *, like: Tensor | None = None
) -> list[int]:
    """Write frames `past`.. to every row; what row 0 may see then, as a list of frame numbers.

    `like` sets the direction the adaptive test sees.
    """
    position = position_of(cache.params, past_frames=past, frames=frames)
    key = (
        torch.zeros(cache.row_count, frames * TOKENS, 1, DIT.dim)
        if like is None
        else like.expand(cache.row_count, frames * TOKENS, 1, DIT.dim).clone()
    )
    value = key.clone()
    value[..., 0] = (
        TRACE * torch.arange(past, past + frames).repeat_interleave(TOKENS)[None, :, None]
    )
    view = cache.write(0, key, value, to_device([position] * cache.row_count, CPU))
    return [round(v.item() / TRACE) for v in view.v_BLHD[0, ::TOKENS, 0, 0]]


def stream(cache: RollingCache, chunks: int) -> list[list[int]]:
    return [write(cache, 0, 2)] + [write(cache, chunk + 1) for chunk in range(1, chunks)]


def test_sinks_stay_and_the_ring_turns() -> None:
    """The first three frames stay for ever, the other slots hold the newest three."""
    contents = stream(fresh(CacheParams(slots=6, sinks=3)), 12)
    assert contents[0] == [0, 1]
    assert contents[4] == [0, 1, 2, 3, 4, 5]
    assert contents[5] == [0, 1, 2, 6, 4, 5]
    assert [sorted(s) for s in contents[5:]] == [[0, 1, 2, n - 2, n - 1, n] for n in range(6, 13)]


def test_plain_sinks() -> None:
    """One sink and a ring of three: frame 1 is the first to go, though it came with chunk 0."""
    contents = stream(fresh(CacheParams(slots=4, sinks=1, pinning=Pinning.SINKS)), 6)
    assert contents[2] == [0, 1, 2, 3]
    assert contents[3] == [0, 4, 2, 3]
    assert [sorted(s) for s in contents[3:]] == [[0, n - 2, n - 1, n] for n in (4, 5, 6)]


def test_every_step_of_chunk_0_takes_the_same_slots() -> None:
    """Writing the first chunk again changes nothing but its contents."""
    cache = fresh(CacheParams(slots=6, sinks=3))
    assert write(cache, 0, 2) == write(cache, 0, 2) == [0, 1]
    assert write(cache, 2) == [0, 1, 2]


@given(st.integers(1, 5), st.integers(1, 5), st.integers(2, 40))
def test_the_window_is_what_it_says(sinks: int, ring: int, chunks: int) -> None:
    """At any length the row holds its sinks and the newest frames, each once."""
    params = CacheParams(slots=sinks + ring, sinks=sinks, pinning=Pinning.SINKS)
    if params.slots < 2:
        return
    newest = chunks  # chunk 0 is frames 0 and 1
    expected = sorted(
        {*range(min(sinks, newest + 1)), *range(max(0, newest - ring + 1), newest + 1)}
    )
    assert sorted(stream(fresh(params), chunks)[-1]) == expected


def test_rows_are_views_and_do_not_meet() -> None:
    """A slice of rows writes into the pool, and only there."""
    cache = fresh(CacheParams(slots=6, sinks=3), rows=3)
    stream(cache.rows(1, 2), 8)
    untouched = fresh(cache.params, rows=3)
    for row in (0, 2):
        for ours, empty in zip(cache.state(), untouched.state(), strict=True):
            assert torch.equal(ours[:, row], empty[:, row])
    assert cache.v_NRKSHD[0, 1].abs().sum() > 0


def test_scattered_rows_are_the_same_as_each_alone() -> None:
    """A batch over rows 2 and 0 at different ages writes and sees what each would alone."""
    params = CacheParams(slots=6, sinks=3, sink_threshold=0.5)
    generator = torch.Generator().manual_seed(0)
    keys = torch.randn(20, 2, TOKENS, 1, DIT.dim, generator=generator)
    together, alone = fresh(params, rows=3), fresh(params, rows=3)
    rows_B = torch.tensor([2, 0])
    for chunk in range(18):
        pasts = (chunk, chunk // 2)
        places = [position_of(params, past_frames=past, frames=1) for past in pasts]
        positions = to_device(places, CPU)
        view = together.write(0, keys[chunk], keys[chunk], positions, rows_B)
        for sample, row in enumerate((2, 0)):
            one = alone.rows(row, row + 1).write(
                0,
                keys[chunk, sample, None],
                keys[chunk, sample, None],
                to_device([places[sample]], CPU),
            )
            length = places[sample].length * TOKENS
            assert torch.equal(view.k_BLHD[sample, :length], one.k_BLHD[0])
            if positions.mask_BK is not None:
                assert positions.mask_BK[sample].sum() * TOKENS == length
    for ours, theirs in zip(together.state(), alone.state(), strict=True):
        assert torch.equal(ours, theirs)


def test_copied_row_is_equal_from_then_on() -> None:
    """A row copied from another evicts as that one does, pending refreshes and all."""
    params = CacheParams(slots=6, sinks=3, sink_threshold=0.5)
    cache = fresh(params, rows=2)
    stream(cache.rows(0, 1), 7)
    cache.copy_row(0, 1)
    for past in range(8, 20):
        write(cache, past, like=torch.randn(1, 1, 1, DIT.dim))
    for tensor in cache.state():
        assert torch.equal(tensor[:, 0], tensor[:, 1])


def test_reset_is_fresh() -> None:
    """A used cache after a reset is equal to a new one, in every tensor."""
    cache = fresh(CacheParams(slots=6, sinks=3, sink_threshold=0.2), rows=2)
    stream(cache, 15)
    cache.reset()
    for ours, new in zip(cache.state(), fresh(cache.params, rows=2).state(), strict=True):
        assert torch.equal(ours, new)


ALIKE = torch.tensor([0.0, 0.0, 0.0, 1.0])
OTHER = torch.tensor([0.0, 0.0, 1.0, 0.0])
ADAPTIVE = CacheParams(slots=6, sinks=3, sink_threshold=0.2)


def adapted(params: CacheParams, others: set[int], chunks: int) -> list[list[int]]:
    """The slots' contents after each chunk; frames are alike, but for those of `others`."""
    cache = fresh(params)
    contents = [write(cache, 0, 2, like=ALIKE)]
    for past in range(2, chunks + 1):
        contents.append(write(cache, past, like=OTHER if past in others else ALIKE))
    return contents


def test_zero_slot_quirk() -> None:
    """The unwritten third sink counts as unlike, so the first frame past the window takes it."""
    assert adapted(ADAPTIVE, set(), 6)[-1] == [0, 1, 6, 3, 4, 5]
    plain = replace(ADAPTIVE, count_unwritten_sinks=False)
    assert adapted(plain, set(), 6)[-1] == [0, 1, 2, 6, 4, 5]


def test_an_unlike_sink_is_replaced() -> None:
    """In the ring's time an unlike frame takes the least alike sink's place, and the ring waits."""
    params = replace(ADAPTIVE, count_unwritten_sinks=False)
    contents = adapted(params, {7}, 8)
    assert contents[5] == [0, 1, 2, 6, 4, 5]
    before, after = contents[5], contents[6]
    changed = [slot for slot in range(6) if before[slot] != after[slot]]
    assert changed == [0], "the first of equals"
    assert after[0] == 7


def test_without_a_threshold_no_sink_is_replaced() -> None:
    """Without a threshold no frame, however unlike, touches a sink."""
    contents = adapted(replace(ADAPTIVE, sink_threshold=None), {3, 7, 9}, 12)
    assert all(s[:3] == [0, 1, 2] for s in contents[1:] if len(s) > 2)


def test_relative_positions_are_ages() -> None:
    """With relative positions a full row's ages are 0 to slots - 1, and the query's is the last."""
    params = CacheParams(slots=4, sinks=1, pinning=Pinning.SINKS, positions=Positions.RELATIVE)
    cache = fresh(params)
    stream(cache, 9)
    for past in (10, 11, 12):
        key = torch.zeros(1, TOKENS, 1, DIT.dim)
        view = cache.write(
            0, key, key, to_device([position_of(params, past_frames=past, frames=1)], CPU)
        )
        assert view.ages is not None
        assert view.ages.query_BF.tolist() == [[3]]
        assert sorted(view.ages.key_BK[0].tolist()) == [0, 1, 2, 3]
        assert view.ages.key_BK[0, 0] == 0, "the sink is the oldest"


def test_batch_must_cover_the_cache() -> None:
    """A batch that names no rows must be as long as the cache."""
    cache = fresh(ADAPTIVE, rows=2)
    key = torch.zeros(1, TOKENS, 1, DIT.dim)
    with pytest.raises(AssertionError, match="must cover the cache"):
        cache.write(0, key, key, to_device([position_of(ADAPTIVE, past_frames=0, frames=1)], CPU))

"""parallel/plan.py, parallel/plan_forms.py: what a plan is, and which are refused."""

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from slipstream_engine.parallel.plan import PipelinePlan, Segment, read_plan, write_plan
from slipstream_engine.parallel.plan_forms import (
    even_ranges,
    grouped_plan,
    layers_plan,
    steps_plan,
)

PLAN = layers_plan(even_ranges(30, 2), steps=2)


@st.composite
def plans(draw: st.DrawFn) -> PipelinePlan:
    """Sound plans of every form, with a codec on ranks of its own or not."""
    steps = draw(st.integers(1, 4))
    blocks = draw(st.integers(1, 9))
    groups = draw(st.integers(1, steps))
    shares = [[*even_ranges(blocks, draw(st.integers(1, min(3, blocks))))] for _ in range(groups)]
    if draw(st.booleans()):
        shares[0].insert(0, range(0))
    if draw(st.booleans()):
        shares[-1].append(range(blocks, blocks))
    return grouped_plan(shares, steps=steps)


@settings(deadline=None)
@given(plans())
def test_every_block_of_every_step_has_one_rank(plan: PipelinePlan) -> None:
    """and the three views of a plan agree: by step, by rank, by weights."""
    for step in range(plan.steps):
        passed = [block for segment in plan.path(step) for block in segment.blocks]
        assert passed == list(range(plan.blocks))
        held = [block for rank in range(plan.ranks) for block in plan.blocks_of(rank, step)]
        assert sorted(held) == passed
    for rank in range(plan.ranks):
        of_steps = {block for step in range(plan.steps) for block in plan.blocks_of(rank, step)}
        assert plan.weights_of(rank) == of_steps


@settings(deadline=None)
@given(plans())
def test_a_file_gives_the_plan_back(plan: PipelinePlan) -> None:
    """whatever the plan."""
    assert read_plan(write_plan(plan)) == plan


@settings(deadline=None)
@given(plans(), st.data())
def test_a_plan_that_lost_or_doubled_a_segment_is_refused(
    plan: PipelinePlan, data: st.DataObject
) -> None:
    """for then a block has no rank or two, or a rank has nothing to do."""
    index = data.draw(st.integers(0, len(plan.segments) - 1))
    without = plan.segments[:index] + plan.segments[index + 1 :]
    for segments in (without, (*plan.segments, plan.segments[index])):
        with pytest.raises(ValueError, match=r"have no rank|is on rank|has nothing to do"):
            msgspec.structs.replace(plan, segments=segments)


def test_forms_are_named() -> None:
    """by what the ranks share."""
    assert PLAN.form == "layers"
    assert steps_plan(ranks=2, steps=4, blocks=3).form == "steps"
    assert grouped_plan([even_ranges(4, 2)] * 2, steps=2).form == "layers x steps"
    assert layers_plan(even_ranges(4, 1), steps=3).form == "one rank"


def test_ranks_take_steps_in_turn() -> None:
    """so a stream of two steps is shared by two ranks where the plan has room for four."""
    plan = steps_plan(ranks=2, steps=4, blocks=3)
    assert [plan.path(step)[0].rank for step in range(4)] == [0, 1, 0, 1]


def test_a_file_is_readable() -> None:
    """the format is what the module shows."""
    text = """{"ranks": 2, "steps": 2, "blocks": 30, "encode_rank": 0, "decode_rank": 1,
     "segments": [
        {"rank": 0, "steps": [0, 1], "first_block": 0, "end_block": 15},
        {"rank": 1, "steps": [0, 1], "first_block": 15, "end_block": 30}]}"""
    assert read_plan(text) == PLAN


def changed(**changes: object) -> PipelinePlan:
    return msgspec.structs.replace(PLAN, **changes)


def of(*parts: tuple[int, tuple[int, ...], int, int]) -> tuple[Segment, ...]:
    return tuple(
        Segment(rank=rank, steps=steps, first_block=first, end_block=end)
        for rank, steps, first, end in parts
    )


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"segments": of((0, (0, 1), 0, 15), (1, (0, 1), 16, 30))}, "block 15 of step 0 have no"),
        ({"segments": of((0, (0, 1), 0, 9), (1, (0,), 9, 30))}, "blocks 9 to 29 of step 1 have no"),
        ({"segments": ()}, "blocks 0 to 29 of step 0 have no rank; give them to one"),
        (
            {"segments": of((0, (0, 1), 0, 16), (1, (0, 1), 15, 30))},
            "block 15 of step 0 is on rank 0 and on rank 1; give it to one of them",
        ),
        (
            {"segments": of((1, (0, 1), 0, 15), (0, (0, 1), 15, 30))},
            "step 0 goes from rank 1 to rank 0 at block 15, ranks must rise",
        ),
        (
            {"segments": of((0, (0, 1), 0, 9), (0, (0, 1), 9, 15), (1, (0, 1), 15, 30))},
            "step 0 goes from rank 0 to rank 0 at block 9",
        ),
        ({"blocks": 20}, "rank 1 has blocks up to 29 of step 0, the plan has blocks 0 to 19"),
        ({"steps": 1}, r"rank 0 has steps \[0, 1\], the plan has steps 0 to 0; raise its steps"),
        ({"steps": 5}, "steps is 5, it must be at most 4"),
        ({"ranks": 3}, "rank 2 has nothing to do; give it a part or leave it out"),
        ({"ranks": 99}, "ranks is 99, but encode, decode and 30 blocks of 2 steps are work for"),
        ({"ranks": 10**15, "blocks": 10**15}, "rank 2 has nothing to do"),
        ({"ranks": 1}, "decode_rank is 1, the plan has ranks 0 to 0; name one of these or raise"),
        ({"ranks": 0}, "ranks is 0, it must be at least 1"),
        ({"encode_rank": -1}, "encode_rank is -1"),
    ],
)
def test_unsound_plans_are_refused(changes: dict[str, object], text: str) -> None:
    """with the value, the rule and what to do."""
    with pytest.raises(ValueError, match=text):
        changed(**changes)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('{"ranks": 2}', "missing required field `steps`"),
        (write_plan(PLAN).replace(b'"end_block": 15', b'"end_block": 0'), "leave out a segment"),
        (write_plan(PLAN).replace(b'"end_block": 15', b'"end_block": 14'), "block 14 of step 0"),
        (write_plan(PLAN).replace(b'"ranks": 2', b'"ranks": "2"'), r"Expected `int`.*\$.ranks"),
        (write_plan(PLAN).replace(b'"ranks": 2', b'"rank": 2'), "unknown field `rank`"),
        (b"layers", "JSON is malformed"),
    ],
)
def test_a_file_that_is_no_plan_is_refused(text: bytes | str, reason: str) -> None:
    """and the text says where and why."""
    with pytest.raises(ValueError, match=reason):
        read_plan(text)


def test_forms_that_do_not_fit_are_refused() -> None:
    """more ranks than blocks, more groups than steps, no steps, steps out of order."""
    with pytest.raises(ValueError, match="4 ranks cannot share 3 blocks, each must have one"):
        even_ranges(3, 4)
    with pytest.raises(ValueError, match="3 groups of ranks cannot share 2 steps"):
        steps_plan(ranks=3, steps=2, blocks=3)
    with pytest.raises(ValueError, match=r"rank 0 has steps \[1, 0\], they must rise"):
        of((0, (1, 0), 0, 3))
    with pytest.raises(ValueError, match=r"rank 0 has steps \[\], they must rise"):
        of((0, (), 0, 3))

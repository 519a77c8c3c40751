"""Family j: the split of blocks over ranks; ours is exact, so it may never be worse."""

from typing import Any

from slipstream_engine.parallel.pipeline_partition import RankLoad, bottleneck_ms, partition

from tests.golden.case import Case, Replay

OTHER_METHOD = "an exact partition instead of one rounding step"
ROUNDING = 1 + 1e-9


def replay(case: Case) -> Replay:
    claims: dict[str, bool] = {}
    notes: list[str] = []
    for number, split in enumerate(case.description["cases"]):
        if not _is_possible(split):
            notes.append(f"split {number}: refused ({split.get('note') or 'ranks without blocks'})")
            continue
        ours_ms, reference_ms = _bottlenecks(split)
        notes.append(f"split {number}: bottleneck {ours_ms:.2f} ms, theirs {reference_ms:.2f} ms")
        claims[f"split {number} is worse than the reference's"] = ours_ms <= reference_ms * ROUNDING
    for default in case.description.get("default_distribution", ()):
        blocks, size = default["total_blocks"], default["world_size"]
        ours = partition([1.0] * blocks, [RankLoad()] * size)
        claims[f"{blocks} equal blocks over {size} equal ranks are worse than the reference's"] = (
            max(map(len, ours)) <= max(end - start for start, end in default["expected"])
        )
    return Replay(left_out={"splits": OTHER_METHOD}, claims=claims, notes=tuple(notes))


def _is_possible(split: dict[str, Any]) -> bool:
    """Whether every rank had blocks when it was measured, and there are enough for all again."""
    ranks: list[float] = split["rank_times"]
    held: list[int] = [end - start for start, end in split["current_block_nums"]]
    return (
        0 < len(ranks) == len(split["dit_times"]) == len(held) <= split["total_blocks"]
        and min(held) > 0
        and min(split["dit_times"]) > 0
    )


def _bottlenecks(split: dict[str, Any]) -> tuple[float, float]:
    """Milliseconds of the slowest rank for a chunk, with our split and with the reference's."""
    total = split["total_blocks"]
    nominal_ms = 1e3 * sum(split["dit_times"]) / total
    ranks = [
        RankLoad(fixed_ms=1e3 * (rank_s - dit_s), slowness=1e3 * dit_s / (end - start) / nominal_ms)
        for rank_s, dit_s, (start, end) in zip(
            split["rank_times"], split["dit_times"], split["current_block_nums"], strict=True
        )
    ]
    block_ms = [nominal_ms] * total
    theirs = [range(*ends) for ends in split["expected"]]
    return bottleneck_ms(partition(block_ms, ranks), block_ms, ranks), bottleneck_ms(
        theirs, block_ms, ranks
    )

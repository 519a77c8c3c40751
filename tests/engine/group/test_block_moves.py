"""Blocks that change their rank while streams run change no frame, whoever moves them when."""

import random
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from msgspec import convert
from slipstream_engine.config import EngineConfig
from slipstream_engine.diffusion.chunk import ChunkMaker
from slipstream_engine.group import rank_reports
from slipstream_engine.group.chunk import GroupChunk
from slipstream_engine.group.pipeline import GroupPipeline
from slipstream_engine.group.stream import GroupStream, StagedFrames
from slipstream_engine.parallel.block_scheduler import BlockScheduler
from slipstream_engine.parallel.block_transfers import BlockMove, transfers
from slipstream_engine.parallel.model_costs import DeviceCosts, ModelCosts
from slipstream_engine.parallel.plan import PipelinePlan
from slipstream_engine.parallel.plan_forms import grouped_plan, layers_plan
from slipstream_protocol.frames import I420
from slipstream_protocol.parameters import Parameters

from tests.engine.rank_groups import (
    BLOCKS,
    BY_AGE,
    LIVE,
    SINKS_REFRESHED,
    film,
    one_process,
    small_config,
    thread_group,
)

STEPS = 4
COSTS = ModelCosts(encode_ms=0, decode_ms=0, block_ms=(1.0,) * BLOCKS)


def cut(*ends: int) -> list[range]:
    """Ranges of blocks up to each of `ends`, and the rest."""
    return [range(a, b) for a, b in zip((0, *ends), (*ends, BLOCKS), strict=True)]


class ScriptedMoves(BlockScheduler):
    """Proposes one plan after the other, whatever the ranks take."""

    def __init__(self, plan: PipelinePlan, plans: list[PipelinePlan]) -> None:
        super().__init__(plan, COSTS, [DeviceCosts()] * plan.ranks, steps=STEPS)
        self._next = deque(plans)

    def decide(self) -> BlockMove | None:
        if not self._next:
            return None
        plan = self._next.popleft()
        return BlockMove(
            epoch=self.epoch + 1,
            plan=plan,
            transfers=transfers(self.plan, plan),
            gain_ms=1,
            reason="a test",
        )


@pytest.fixture(autouse=True)
def one_thread() -> None:
    """The order of a sum must not depend on how many threads share it."""
    torch.set_num_threads(1)


def same(made: list[I420], wanted: list[I420]) -> bool:
    return len(made) == len(wanted) and all(map(np.array_equal, made, wanted))


LAYERS = [layers_plan(cut(*ends), steps=STEPS) for ends in ((1,), (3,), (2,), (1,))]
THREE = [layers_plan(cut(*ends), steps=STEPS) for ends in ((1, 2), (2, 3), (1, 3), (1, 2))]
BOTH = [
    grouped_plan([cut(one), cut(two)], steps=STEPS) for one, two in ((2, 2), (1, 3), (3, 1), (2, 3))
]


@pytest.mark.parametrize(
    ("plans", "cache"),
    [(LAYERS, BY_AGE), (THREE, SINKS_REFRESHED), (BOTH, SINKS_REFRESHED)],
    ids=["layers 2", "layers 3", "both 4"],
)
def test_moves_change_no_frame(plans: list[PipelinePlan], cache: Any) -> None:
    """prompts, steps and seeds change and caches are reset meanwhile; all blocks are moved."""
    config = small_config(cache)
    wanted = film(one_process(config), steps=2, chunks=10, changes=LIVE)
    first, *others = plans
    with closing(thread_group(config, first, ScriptedMoves(first, (others * 3)[:-1]))) as group:
        assert same(film(group, steps=2, chunks=10, changes=LIVE), wanted)
        assert group.plan != first
        held = [report.weights_bytes for report in group.leader.memory()]
        with closing(thread_group(config, group.plan)) as fresh:
            assert held == [report.weights_bytes for report in fresh.leader.memory()]


class Interleaved:
    """Streams whose chunks are under way at once, two of each; the driver chooses who goes on."""

    def __init__(self, group: GroupPipeline, seeds: range, chunks: int) -> None:
        self.group = group
        self.chunks = chunks
        self.streams = {seed: self.opened(seed) for seed in seeds}
        self.cameras = {seed: frames(group, seed, chunks) for seed in seeds}
        self.under_way: dict[int, list[GroupChunk]] = {seed: [] for seed in seeds}
        self.made: dict[int, list[StagedFrames]] = {seed: [] for seed in seeds}

    def opened(self, seed: int) -> GroupStream:
        step_list = self.group.step_list[:2]
        return self.group.open(
            convert({"denoising_step_list": step_list, "seed": seed}, Parameters)
        )

    def possible(self) -> Iterator[Callable[[], None]]:
        for seed, chunks in self.under_way.items():
            for place, chunk in enumerate(chunks):
                ahead = chunks[place - 1].steps_done if place else STEPS
                if not chunk.is_clean and chunk.steps_done < ahead:
                    yield lambda chunk=chunk: self.group.denoise([chunk])  # type: ignore[misc]
            if chunks and chunks[0].is_clean:
                yield lambda seed=seed: self.decode(seed)  # type: ignore[misc]
            begun = len(self.made[seed]) + len(chunks)
            if begun < self.chunks and (not chunks or (len(chunks) < 2 and begun > 1)):
                yield lambda seed=seed, n=begun: self.encode(seed, n)  # type: ignore[misc]

    def encode(self, seed: int, number: int) -> None:
        self.under_way[seed].append(self.streams[seed].encode(self.cameras[seed][number]))

    def decode(self, seed: int) -> None:
        number = len(self.made[seed])
        out_THW = np.empty_like(self.cameras[seed][number])
        self.made[seed].append(self.streams[seed].decode(self.under_way[seed].pop(0), out_THW))

    def run(self, chance: random.Random) -> None:
        while possible := list(self.possible()):
            chance.choice(possible)()
        for made in self.made.values():
            for delivery in made:
                delivery.finish()


def frames(pipeline: Any, seed: int, chunks: int) -> list[I420]:
    noise, geometry = np.random.default_rng(seed), pipeline.geometry
    return [
        noise.integers(0, 256, (geometry.frames_of(n), *geometry.frame_shape), dtype=np.uint8)
        for n in range(chunks)
    ]


def alone(config: EngineConfig, seed: int, chunks: int) -> list[I420]:
    pipeline = one_process(config)
    step_list = pipeline.step_list[:2]
    made = []
    with closing(
        pipeline.open(convert({"denoising_step_list": step_list, "seed": seed}, Parameters))
    ) as stream:
        for camera_THW in frames(pipeline, seed, chunks):
            made.append(np.empty_like(camera_THW))
            stream.step(camera_THW, made[-1])
    return made


def test_moves_drain_nothing() -> None:
    """chunks are at any step when blocks move, and one stream closes in the middle of it."""
    config, chunks = replace(small_config(), max_streams=3), 6
    wanted = {seed: alone(config, seed, chunks) for seed in (1, 2)}
    first, *others = BOTH
    scheduler = ScriptedMoves(first, others * 9)
    with closing(thread_group(config, first, scheduler)) as group:
        for chance in map(random.Random, range(3)):
            before = scheduler.epoch
            leaving = group.open(Parameters())
            leaving.encode(frames(group, 9, 1)[0])
            streams = Interleaved(group, range(1, 3), chunks)
            for _ in range(10):
                chance.choice(list(streams.possible()))()
            leaving.close()
            streams.run(chance)
            for seed, made in streams.made.items():
                assert same([delivery.out_THW for delivery in made], wanted[seed])
                streams.streams[seed].close()
            assert scheduler.epoch > before + 1


def test_a_rank_that_becomes_slow_is_relieved(monkeypatch: pytest.MonkeyPatch) -> None:
    """by what its passes take, within twenty chunks, and no frame is another one."""
    config, chunks = small_config(), 30
    plan, run_part = layers_plan(cut(2), steps=STEPS), ChunkMaker.run_part
    slowness = {"rank 0": 1, "rank 1": 1}
    clock = threading.local()  # each rank is a thread, and has its own

    def timed_part(maker: Any, chunk: Any, x: Any, row: int, part: Any, tokens: Any = None) -> Any:
        blocks_ms = len(part.layers) * slowness[threading.current_thread().name]
        clock.now_ns = now_ns() + blocks_ms * 1_000_000
        return run_part(maker, chunk, x, row, part, tokens)

    def now_ns() -> int:
        now: int = getattr(clock, "now_ns", 0)
        return now

    wanted = alone(config, 1, chunks)
    monkeypatch.setattr(ChunkMaker, "run_part", timed_part)
    monkeypatch.setattr(rank_reports, "now_ns", now_ns)
    scheduler = BlockScheduler(plan, COSTS, [DeviceCosts()] * 2, steps=2)
    with closing(thread_group(config, plan, scheduler)) as group:
        streams = Interleaved(group, range(1, 2), chunks)
        for number, camera_THW in enumerate(streams.cameras[1]):
            if number == 10:
                assert group.plan == plan
                slowness["rank 1"] = 3
            out_THW = np.empty_like(camera_THW)
            streams.streams[1].step(camera_THW, out_THW)
            assert np.array_equal(out_THW, wanted[number])
        assert group.plan == layers_plan(cut(3), steps=STEPS)
        assert "1 blocks move" in group.note

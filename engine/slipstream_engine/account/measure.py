"""Runs a preset's pipeline on a fake device and keeps its books: every stage's cost, all memory.

Transformers of a few blocks are run: every further block costs the same, so what all of them cost
follows. Nothing is timed.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from slipstream_protocol.frames import I420
from slipstream_protocol.parameters import Parameters
from torch import Tensor

from slipstream_engine.account.cost_counter import CostCounter, StageCost
from slipstream_engine.account.fake_device import FAKE_CUDA, fake_cuda
from slipstream_engine.account.memory_plan import MemoryParts
from slipstream_engine.config import Compilation, EngineConfig
from slipstream_engine.diffusion.chunk import LatentChunk
from slipstream_engine.diffusion.cuda_graphs import Recording
from slipstream_engine.diffusion.pipeline import DiffusionPipeline
from slipstream_engine.diffusion.stream import DiffusionStream
from slipstream_engine.weights.random import random_bundle

LIGHT_CODEC = "taehv"
FEWEST_LAYERS = 2  # between the first block and the last one more is held than in one alone
STREAMS = 2  # that share passes
SHARED_STEPS = 2  # of each of them: a pass of both streams, or of both streams at both steps


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceAccount:
    """What a preset costs a device, once its caches are full.

    Args:
        config: what was counted.
        stages: `encode`, `decode`, `step` (one micro-step alone), and `step x 2`, `step x 4` (a
            pass that streams share).
        memory: what takes it.
        problems: what a device could not do, or not in a recorded function.
    """

    config: EngineConfig
    stages: dict[str, StageCost]
    memory: MemoryParts
    problems: tuple[str, ...]

    @property
    def peak_bytes(self) -> int:
        """The most that a stage computes in without a graph."""
        return max(cost.peak_bytes for cost in self.stages.values())

    def total_bytes(self, streams: int) -> int:
        """What the process takes of the device with so many streams."""
        return self.memory.total_bytes(streams, peak_bytes=self.peak_bytes)

    def streams_in(self, gpu_bytes: int) -> int:
        """How many streams fit in a device of so much memory."""
        return self.memory.streams_in(gpu_bytes, peak_bytes=self.peak_bytes)


@dataclass(frozen=True, slots=True)
class BlockCost:
    """What a block costs: the accounts of two transformers, the second with one block more."""

    fewer: DeviceAccount
    more: DeviceAccount

    def added(self, account: DeviceAccount, blocks: int) -> DeviceAccount:
        """An account with so many more blocks."""
        return DeviceAccount(
            config=account.config,
            stages={
                name: cost.plus(self.fewer.stages[name], self.more.stages[name], blocks)
                for name, cost in account.stages.items()
            },
            memory=account.memory.plus(self.fewer.memory, self.more.memory, blocks),
            problems=account.problems,
        )


def account(config: EngineConfig, block: BlockCost | None = None) -> DeviceAccount:
    """The account of a configuration at its preset's size.

    Args:
        config: its device and its number of streams are not looked at. A stream's cache has rows
            for `max_steps`, or for the preset's steps.
        block: of the same preset, with any codec; None to count it now.
    """
    block = block or block_cost(config)
    fewest = block.fewer if block.fewer.config == config else _run(config, layers=FEWEST_LAYERS)
    return block.added(fewest, config.preset.dit.layers - FEWEST_LAYERS)


def block_cost(config: EngineConfig) -> BlockCost:
    """What one more block of the transformer costs, whatever the codec."""
    light = replace(config, preset=replace(config.preset, codec=LIGHT_CODEC))
    layers = (FEWEST_LAYERS, FEWEST_LAYERS + 1)
    return BlockCost(*(_run(light, layers=count) for count in layers))


def _run(asked: EngineConfig, *, layers: int) -> DeviceAccount:
    dit = replace(asked.preset.dit, layers=layers)
    config = replace(
        asked,
        preset=replace(asked.preset, dit=dit),
        device=str(FAKE_CUDA),
        max_streams=STREAMS,
        max_steps=len(asked.preset.schedule.step_list),
    )
    steps = asked.max_steps or asked.preset.schedule.steps
    with fake_cuda() as device, CostCounter(device) as counter:
        return replace(_Books(config, counter, steps).keep(), config=asked)


class _Boundless:
    """Memory that does not end: what is needed is to be counted, not refused."""

    def used_bytes(self) -> int:
        return 0

    def free_bytes(self) -> int:
        return 1 << 60


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _CountedGraph:
    """A recorded function: its replay costs what it cost, without its Python."""

    counter: CostCounter
    cost: StageCost

    def replay(self) -> None:
        self.counter.add(self.cost)


class _Books:
    """One pipeline on the fake device, with cache rows for every step.

    Args:
        steps: whose cache rows a stream holds in the account.
    """

    def __init__(self, config: EngineConfig, counter: CostCounter, steps: int) -> None:
        self._config = config
        self._steps = steps
        self._counter = counter
        self._stages: dict[str, StageCost] = {}

        def record(function: Any) -> Recording:
            with counter.recording() as cost:
                out: Tensor = function()
            return Recording(graph=_CountedGraph(counter=counter, cost=cost), out=out)

        bundle = random_bundle(config)
        self._weights_bytes = counter.live_bytes
        is_recorded = config.compilation is Compilation.GRAPH
        self._pipeline = DiffusionPipeline(
            config, bundle, recorder=record if is_recorded else None, memory=_Boundless()
        )
        bundle.model.is_fused = True  # as where Triton is; its kernels are not run
        self._pool_bytes = counter.live_bytes - self._weights_bytes

    def keep(self) -> DeviceAccount:
        """Run every stage until it costs the same again and again."""
        counter, before = self._counter, self._counter.live_bytes
        slots = self._config.preset.cache.slots
        first = self._opened("a street")
        for _ in range(slots):  # the last two with a full cache: recorded at the second
            self._whole_chunk(first)
        stream_bytes = counter.live_bytes - before
        second = self._opened("a square")
        self._whole_chunk(second)
        second.host.past_frames = slots  # there are no numbers: a cache is as full as is said
        before = counter.live_bytes
        self._shared_passes((first, second))
        shared_bytes = counter.live_bytes - before
        self._all_steps(first)
        all_steps = len(self._pipeline.step_list)
        return DeviceAccount(
            config=self._config,
            stages=self._stages,
            memory=MemoryParts(
                weights_bytes=self._weights_bytes,
                cache_bytes=self._pool_bytes * self._steps // (STREAMS * all_steps),
                stream_bytes=stream_bytes,
                shared_bytes=shared_bytes * self._steps // all_steps,
                graphs_bytes=counter.pool_bytes,
            ),
            problems=tuple(counter.problems),
        )

    def _opened(self, prompt: str) -> DiffusionStream[Any]:
        """A stream of one step a chunk."""
        one_step = self._config.preset.timesteps(1)
        return self._pipeline.open(Parameters(prompt=prompt, denoising_step_list=one_step))

    def _whole_chunk(self, stream: DiffusionStream[Any]) -> None:
        chunk = self._encode(stream)
        while not chunk.is_clean:
            self._denoise([chunk])
        self._decode(stream, chunk)

    def _shared_passes(self, streams: Sequence[DiffusionStream[Any]]) -> None:
        """Passes of both streams at one step, and of both at two steps, twice each."""
        steps = self._config.preset.timesteps(SHARED_STEPS)
        for stream in streams:
            stream.apply(Parameters(denoising_step_list=steps))
            self._whole_chunk(stream)
        for _ in range(2):
            before = [self._encode(stream) for stream in streams]
            self._denoise(before)
            behind = [self._encode(stream) for stream in streams]
            self._denoise([*before, *behind])
            self._denoise(behind)
            for chunks in (before, behind):
                for stream, chunk in zip(streams, chunks, strict=True):
                    self._decode(stream, chunk)

    def _all_steps(self, stream: DiffusionStream[Any]) -> None:
        """Two chunks of each number of steps, from the most to one."""
        for steps in range(len(self._pipeline.step_list), 0, -1):
            timesteps = self._config.preset.timesteps(steps)
            stream.apply(Parameters(denoising_step_list=timesteps))
            for _ in range(2):
                self._whole_chunk(stream)

    def _encode(self, stream: DiffusionStream[Any]) -> LatentChunk[Any]:
        with self._stage("encode"):
            return stream.encode(self._frames(is_first=stream.host.begins_size))

    def _denoise(self, chunks: Sequence[LatentChunk[Any]]) -> None:
        with self._stage("step" if len(chunks) == 1 else f"step x {len(chunks)}"):
            self._pipeline.denoise(chunks)

    def _decode(self, stream: DiffusionStream[Any], chunk: LatentChunk[Any]) -> None:
        with self._stage("decode"):
            stream.decode(chunk, self._frames(is_first=chunk.is_first))

    def _frames(self, *, is_first: bool) -> I420:
        geometry = self._pipeline.geometry
        return np.zeros((geometry.frames_of(0 if is_first else 1), *geometry.frame_shape), np.uint8)

    @contextmanager
    def _stage(self, name: str) -> Iterator[None]:
        with self._counter.stage() as cost:
            yield
        if name in self._stages:  # a replay computes in the graphs' memory
            cost.peak_bytes = max(cost.peak_bytes, self._stages[name].peak_bytes)
        self._stages[name] = cost

"""While a rank computes one chunk, the next one is on its way to it: computed in virtual time."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
import torch
from slipstream_engine.config import FIRST_CHUNK_LATENTS
from slipstream_engine.diffusion.chunk import ChunkMaker
from slipstream_engine.diffusion.state import StreamSettings
from slipstream_engine.group.mail import Mail
from slipstream_engine.group.messages import (
    BeginChunk,
    OpenLane,
    PassEnded,
    PromptPiece,
    RunPart,
    StopRank,
)
from slipstream_engine.group.paths import Paths, share_of
from slipstream_engine.group.rank import Rank
from slipstream_engine.group.serve_rank import layouts_of
from slipstream_engine.kv_cache.positions import position_of
from slipstream_engine.parallel.plan_forms import even_ranges, layers_plan
from torch import Tensor

from tests.engine.rank_groups import BLOCKS, one_process, small_config

LINK_MS, COMPUTE_MS = 20.0, 30.0
CHUNKS = 12
AHEAD = 2  # passes that the leader has under way on a rank


@dataclass
class Clock:
    now_ms: float = 0.0


@dataclass
class Scripted:
    """A transfer that is through at a time."""

    clock: Clock
    ended_ms: float

    def wait(self) -> None:
        self.clock.now_ms = max(self.clock.now_ms, self.ended_ms)


@dataclass
class SlowLink:
    """A link that takes its time, from when both ends are there; the other end never waits."""

    clock: Clock
    free_ms: float = 0.0
    messages: int = 0

    def _through(self, from_ms: float) -> Scripted:
        self.free_ms = max(self.free_ms, from_ms) + LINK_MS
        self.messages += 1
        return Scripted(self.clock, self.free_ms)

    def send(self, buffer: Tensor) -> Scripted:
        return self._through(self.clock.now_ms)

    def receive(self, buffer: Tensor) -> Scripted:
        made_ms = COMPUTE_MS * (self.messages + 1)  # by a rank of the same speed
        return self._through(max(self.clock.now_ms, made_ms))


@dataclass
class Leader:
    """The leader's end of a channel: it orders a pass once the one two before has ended."""

    clock: Clock
    orders: deque[Any]
    ended_ms: list[float] = field(default_factory=list)

    def receive(self, timeout_s: float | None) -> Any:
        if not self.orders:
            return None
        first = self.orders[0]
        if isinstance(first, RunPart) and first.chunk >= len(self.ended_ms) + AHEAD:
            return None
        return self.orders.popleft()

    def send(self, report: PassEnded) -> None:
        self.ended_ms.append(self.clock.now_ms)


def orders(preset: Any) -> deque[Any]:
    """A stream of one step, through the middle rank of three."""
    settings = replace(StreamSettings.of(preset.schedule), step_list=preset.schedule.step_list[:1])
    text = torch.ones(1, preset.dit.text_dim).numpy().tobytes()
    found: deque[Any] = deque([OpenLane(stream=1), PromptPiece(stream=1, data=text)])
    for chunk in range(CHUNKS):
        latents = FIRST_CHUNK_LATENTS if chunk == 0 else 1
        past = 0 if chunk == 0 else chunk + 1
        found.append(
            BeginChunk(
                number=2 * chunk,
                epoch=0,
                stream=1,
                chunk=chunk,
                frames=4 * latents - 3 * (chunk == 0),
                is_first=chunk == 0,
                resets_cache=False,
                position=position_of(preset.cache, past_frames=past, frames=latents),
                settings=settings,
                has_prompt=chunk == 0,
            )
        )
        found.append(
            RunPart(
                number=2 * chunk + 1,
                epoch=0,
                stream=1,
                chunk=chunk,
                step=0,
                frames=latents,
                path=0,
                place=1,
            )
        )
    found.append(StopRank())
    return found


def test_a_chunk_travels_while_the_one_before_is_computed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """20 ms of link each way and 30 ms of computing take 30 ms a chunk, not 50 and not 70."""
    clock = Clock()
    run_part: Callable[..., Tensor] = ChunkMaker.run_part

    def slow_part(*args: Any, **kwargs: Any) -> Tensor:
        clock.now_ms += COMPUTE_MS
        return run_part(*args, **kwargs)

    monkeypatch.setattr(ChunkMaker, "run_part", slow_part)
    config = small_config()
    plan = layers_plan(even_ranges(BLOCKS, 3), steps=4)
    pipeline = one_process(replace(config, share=share_of(plan, 1)))
    links: dict[tuple[int, bool], SlowLink] = {}

    def link(other: int, sends: bool) -> SlowLink:
        return links.setdefault((other, sends), SlowLink(clock))

    layouts = layouts_of(pipeline)
    mail = Mail(link, layouts, largest_bytes=layouts.largest_bytes(2), device=torch.device("cpu"))
    leader = Leader(clock, orders(config.preset))
    Rank(1, Paths(plan), pipeline, mail, leader).serve()  # type: ignore[arg-type]
    assert len(leader.ended_ms) == CHUNKS
    period_ms = (leader.ended_ms[-1] - leader.ended_ms[1]) / (CHUNKS - 2)
    assert period_ms < 35
    assert {key: one.messages for key, one in links.items()} == {
        (0, False): CHUNKS,
        (2, True): CHUNKS,
    }

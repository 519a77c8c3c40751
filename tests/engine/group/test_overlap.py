"""While a rank computes one chunk, the next one is on its way to it: computed in virtual time."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any
from unittest.mock import patch

import torch
from slipstream_engine.config import FIRST_CHUNK_LATENTS
from slipstream_engine.diffusion.chunk import ChunkMaker
from slipstream_engine.diffusion.state import StreamSettings
from slipstream_engine.group.mail import Mail
from slipstream_engine.group.messages import (
    BeginChunk,
    Decode,
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
from slipstream_engine.parallel.links import Arrival
from slipstream_engine.parallel.message_flow import MessageFlow
from slipstream_engine.parallel.plan import PipelinePlan
from slipstream_engine.parallel.plan_forms import even_ranges, layers_plan
from torch import Tensor

from tests.engine.rank_groups import BLOCKS, one_process, small_config

LINK_MS, COMPUTE_MS = 20.0, 30.0
CHUNKS = 12
AHEAD = 2  # passes that the leader has under way on a rank


@dataclass
class Clock:
    now_ms: float = 0.0

    def pass_to(self, ended_ms: float) -> None:
        self.now_ms = max(self.now_ms, ended_ms)


@dataclass
class Scripted:
    """A transfer that is through at a time."""

    clock: Clock
    ended_ms: float

    def wait(self) -> None:
        self.clock.pass_to(self.ended_ms)

    finish = wait


@dataclass
class SlowLink:
    """A link that takes its time, from when both ends are there; the other end never waits.

    Args:
        flow: that goes over it.
        period_ms: that the other end takes for each message.
    """

    clock: Clock
    flow: MessageFlow
    period_ms: float = COMPUTE_MS
    free_ms: float = 0.0
    transfers: list[Scripted] = field(default_factory=list)

    def _through(self, from_ms: float) -> Scripted:
        self.free_ms = max(self.free_ms, from_ms) + LINK_MS
        self.transfers.append(Scripted(self.clock, self.free_ms))
        return self.transfers[-1]

    def send(self, buffer: Tensor) -> Scripted:
        return self._through(self.clock.now_ms)

    def receive(self, buffer: Tensor) -> Scripted:
        made_ms = self.period_ms * (len(self.transfers) + 1)
        return self._through(max(self.clock.now_ms, made_ms))


@dataclass
class Links:
    """Of one rank, by the other rank, whether this one sends, and the flow; and what comes over
    them: an `ArrivalWatch` by the clock."""

    clock: Clock
    period_ms: float = COMPUTE_MS
    links: dict[tuple[int, bool, MessageFlow], SlowLink] = field(default_factory=dict)
    expected: list[tuple[Scripted, Arrival]] = field(default_factory=list)
    wakes: tuple[int, ...] = ()

    def link(self, other: int, sends: bool, flow: MessageFlow) -> SlowLink:
        made = SlowLink(self.clock, flow, period_ms=self.period_ms)
        return self.links.setdefault((other, sends, flow), made)

    def watch(self, source: tuple[int, MessageFlow], arrival: Arrival, then: None) -> None:
        self.expected.append((self.links[source[0], False, source[1]].transfers[-1], arrival))

    def heard(self) -> None:
        for scripted, arrival in self.expected:
            if scripted.ended_ms <= self.clock.now_ms and not arrival.has_come:
                arrival.await_transfer()

    def pass_to_next(self) -> None:
        """Nothing is to be done until something comes."""
        waiting = [one.ended_ms for one, arrival in self.expected if not arrival.has_come]
        self.clock.pass_to(min(waiting))

    def close(self) -> None:
        pass


@dataclass
class Leader:
    """The leader's end of a channel: it orders a pass once the one two before has ended."""

    clock: Clock
    links: Links
    orders: deque[Any]
    ahead: int = AHEAD
    ended: list[tuple[int, float]] = field(default_factory=list)  # number and time

    def receive(self, timeout_s: float | None, *, or_readable: Sequence[int]) -> Any:
        first = self.orders[0] if self.orders else None
        is_early = isinstance(first, RunPart) and first.chunk >= len(self.ended) + self.ahead
        if first is not None and not is_early:
            return self.orders.popleft()
        if timeout_s is None:
            self.links.pass_to_next()
        return None

    def send(self, report: PassEnded) -> None:
        self.ended.append((report.number, self.clock.now_ms))


@contextmanager
def slow_parts(clock: Clock) -> Iterator[None]:
    """A part of a step takes `COMPUTE_MS`."""
    run_part: Callable[..., Tensor] = ChunkMaker.run_part

    def slow_part(*args: Any, **kwargs: Any) -> Tensor:
        clock.now_ms += COMPUTE_MS
        return run_part(*args, **kwargs)

    with patch.object(ChunkMaker, "run_part", slow_part):
        yield


def serve(rank: int, plan: PipelinePlan, leader: Leader) -> None:
    """Let a rank carry out all that the leader orders."""
    pipeline = one_process(replace(small_config(), share=share_of(plan, rank)))
    layouts = layouts_of(pipeline)
    mail = Mail(
        leader.links.link,
        layouts,
        largest_bytes=layouts.largest_bytes(FIRST_CHUNK_LATENTS),
        device=torch.device("cpu"),
        watch=leader.links,  # type: ignore[arg-type]  # of the same methods
    )
    with slow_parts(leader.clock):
        Rank(rank, Paths(plan), pipeline, mail, leader).serve()  # type: ignore[arg-type]


def orders(*, place: int, decodes: bool = False) -> deque[Any]:
    """A stream of one step, for the rank at that place.

    Args:
        decodes: a chunk is decoded after the next one's step is ordered.
    """
    preset = small_config().preset
    settings = replace(StreamSettings.of(preset.schedule), step_list=preset.schedule.step_list[:1])
    text = torch.ones(1, preset.dit.text_dim).numpy().tobytes()
    found: deque[Any] = deque([OpenLane(stream=1), PromptPiece(stream=1, data=text)])
    for chunk in range(CHUNKS):
        latents = FIRST_CHUNK_LATENTS if chunk == 0 else 1
        past = 0 if chunk == 0 else chunk + 1
        found.append(
            BeginChunk(
                number=3 * chunk,
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
                number=3 * chunk + 1,
                epoch=0,
                stream=1,
                chunk=chunk,
                step=0,
                frames=latents,
                path=0,
                place=place,
            )
        )
        if decodes and chunk:
            frames = 4 if chunk > 1 else 5
            found.append(Decode(number=3 * chunk - 1, stream=1, chunk=chunk - 1, frames=frames))
    found.append(StopRank())
    return found


def test_a_chunk_travels_while_the_one_before_is_computed() -> None:
    """20 ms of link each way and 30 ms of computing take 30 ms a chunk, not 50 and not 70."""
    clock = Clock()
    links = Links(clock)
    leader = Leader(clock, links, orders(place=1))
    serve(1, layers_plan(even_ranges(BLOCKS, 3), steps=4), leader)
    assert len(leader.ended) == CHUNKS
    period_ms = (leader.ended[-1][1] - leader.ended[1][1]) / (CHUNKS - 2)
    assert period_ms < 35
    assert {key: len(one.transfers) for key, one in links.links.items()} == {
        (0, False, MessageFlow.STEPS): CHUNKS,
        (2, True, MessageFlow.STEPS): CHUNKS,
    }


def test_a_clean_chunk_is_decoded_while_a_step_is_on_its_way() -> None:
    """although the step was ordered first: the decoder would stand still for as long."""
    clock = Clock()
    links = Links(clock, period_ms=100)
    leader = Leader(clock, links, orders(place=1, decodes=True), ahead=CHUNKS)
    serve(1, layers_plan(even_ranges(BLOCKS, 2), steps=4), leader)
    ended_ms = dict(leader.ended)
    for chunk in range(CHUNKS - 1):
        step, decoded, next_step = (3 * chunk + offset for offset in (1, 2, 4))
        assert ended_ms[step] == ended_ms[decoded] < ended_ms[next_step]

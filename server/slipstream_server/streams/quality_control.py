"""Keeps one stream at the level of its quality ladder: its steps, frame rate and size, or held."""

import asyncio
import logging
from collections.abc import Callable

from slipstream_protocol.clock import NS_PER_MS, NS_PER_S, now_ns
from slipstream_protocol.frames import FrameSize
from slipstream_protocol.messages import Ready

from slipstream_server.control.events import LevelMoved, LevelQuestion
from slipstream_server.control.update_queue import SendEvent, UpdateQueue
from slipstream_server.frames.chunker import CapturedFrame
from slipstream_server.frames.playout import GeneratedFrame
from slipstream_server.frames.size_choice import work_by_scale
from slipstream_server.ladder.chunk_meter import ChunkMeter
from slipstream_server.ladder.device_share import DeviceShare, Share
from slipstream_server.ladder.ladder import Ladder
from slipstream_server.ladder.moves import Move, Question
from slipstream_server.ladder.promise import Reading, ViewerPromise, own_need
from slipstream_server.ladder.settings import LadderSettings
from slipstream_server.observability.client_stats import ClientStats
from slipstream_server.observability.metrics import Metrics
from slipstream_server.observability.slo_report import SloTargets
from slipstream_server.streams.chunk_pipe import ChunkPipe
from slipstream_server.streams.submitted_chunk import SubmittedChunk

logger = logging.getLogger(__name__)

_TICK_S = 0.05
_LEAST_RATE = 0.01  # a promise of no pictures at all would never be broken
_LINK_SHARE = 0.25  # of the age promised, that is believed of what a browser reports


class QualityControl:
    """Moves one stream up and down its ladder; observes its chunk pipe.

    Args:
        ready: of the stream's engine.
        updates: the stream's parameters, once it is open.
        chunk_pipe: of the stream.
        settings: the operator's.
        targets: of the stream's service levels.
        device: all streams of the engine.
        metrics: of the whole server.
        ask: sends a question to the publisher.
        on_given_way: called when the stream is held for the sake of others, or no longer is.
    """

    def __init__(
        self,
        ready: Ready,
        updates: UpdateQueue,
        chunk_pipe: ChunkPipe,
        *,
        settings: LadderSettings,
        targets: SloTargets,
        device: DeviceShare,
        metrics: Metrics,
        ask: SendEvent,
        on_given_way: Callable[[bool], None],
    ) -> None:
        self._updates = updates
        self._chunk_pipe = chunk_pipe
        self._device = device
        self._metrics = metrics
        self._ask = ask
        self._on_given_way = on_given_way
        self._promise = ViewerPromise(
            age_ns=round(targets.age_ms * NS_PER_MS),
            fps=ready.fps,
            rate_share=max(targets.rate_ratio, _LEAST_RATE),
            chunk_frames=ready.geometry.chunk_frames,
            work_by_scale=work_by_scale(ready.sizes),
            lowest=settings.lowest_of(ready.levels),
        )
        levels = settings.levels_of(ready.levels)
        self._may_be_held = levels.can_hold and settings.floor is None
        self._choices = updates.choices
        self._ladder = Ladder(
            levels,
            floor=settings.floor,
            promise=self._promise,
            steps=len(updates.chosen_steps or ()),
            is_own=updates.choices > 0,
            size_px=_smaller_start_px(ready),
        )
        self._has_sizes = bool(levels.sizes_px)
        if self._has_sizes:  # else all pictures have the size that the engine chose
            chunk_pipe.limit_size(self._ladder.level.size_px)
        self._meter = ChunkMeter()
        self._reading: Reading | None = None
        self._moved_ns = 0
        self.lowered = ""
        if self._ladder.level != self._ladder.top:
            self.lowered = f"{self._ladder.level.text}: the machine was slow when it was started"
        device.join(chunk_pipe.id)
        chunk_pipe.observers.append(self)

    async def run(self) -> None:
        """Look after chunks that do not come, and after the other streams."""
        while True:
            await asyncio.sleep(_TICK_S)
            self._tick(now_ns())

    def close(self) -> None:
        """The stream has ended."""
        self._device.leave(self._chunk_pipe.id)

    def answer(self, keep: bool) -> None:
        """The viewer's answer to a question."""
        self._ladder.answer(keep=keep)

    def client_stats_received(self, stats: ClientStats) -> None:
        """What the viewer's browser says of the link."""
        link_ms = (stats.rtt_ms or 0.0) / 2 + (stats.jitter_buffer_ms or 0.0)
        longest_ns = self._promise.age_ns * _LINK_SHARE
        self._meter.link_ns = round(min(link_ms * NS_PER_MS, longest_ns))

    def restart(self) -> None:
        """The stream is open on another engine."""
        self._meter.restart()

    # ---- events of the chunk pipe

    def on_captured(self, frame: CapturedFrame) -> None:
        self._meter.on_captured(frame.captured_ns)

    def on_generated(self, first: GeneratedFrame) -> None:
        self._follow_choice()
        if self._is_of_this_level(first.stamps.submitted_ns, FrameSize.of(first.frame)):
            self._observe(self._meter.on_chunk(first, self._ladder.level), now_ns())

    def on_given_up(self, stands_for_ns: int) -> None:
        now = now_ns()
        self._observe(self._meter.on_waiting(stands_for_ns, self._ladder.level, now), now)

    # ---- what follows

    def _tick(self, now: int) -> None:
        self._follow_choice()
        stream = self._chunk_pipe.id
        if self._ladder.level.is_held:
            if self._device.take_return(stream, now):
                self._move(self._ladder.release())
            return
        if self._device.take_hold(stream, now):
            self._move(self._ladder.hold())
            return
        if self._chunk_pipe.is_idle:
            self._meter.restart()
            return
        oldest = self._chunk_pipe.oldest_submitted
        if oldest is not None:
            self._observe(self._meter_waiting(oldest, now), now)

    def _meter_waiting(self, oldest: SubmittedChunk, now: int) -> Reading | None:
        """A chunk that is too old already, or takes far longer than those before: the next one is
        to be begun at a lower level."""
        meter, level, since_ns = self._meter, self._ladder.level, oldest.stands_for_ns
        if now - since_ns > self._promise.age_ns:
            return meter.on_waiting(since_ns, level, now)
        if not self._is_of_this_level(oldest.submitted_ns, oldest.size):
            return None
        others = self._device.others(self._chunk_pipe.id, now).load
        reading = meter.on_running(oldest.submitted_ns, since_ns, level, now, others=others)
        if reading is None or own_need(reading, level, self._promise) <= 1:
            return None  # it may have waited on its way, and the promise holds
        return reading

    def _is_of_this_level(self, submitted_ns: int, size: FrameSize) -> bool:
        """Whether a chunk was submitted since the newest change, at its size."""
        return submitted_ns >= self._moved_ns and size == self._chunk_pipe.size

    def _follow_choice(self) -> None:
        """Take over the steps that a viewer has chosen since."""
        if self._updates.choices == self._choices:
            return
        self._choices = self._updates.choices
        self._ladder.choose(len(self._updates.chosen_steps or ()), is_own=True)
        self._apply_level()
        if self.lowered and self._ladder.level == self._ladder.top:
            self.lowered = ""
            self._tell("", is_down=False)

    def _observe(self, reading: Reading | None, now: int) -> None:
        if reading is None or self._ladder.level.is_held:
            return
        self._reading = reading
        stream, ladder = self._chunk_pipe.id, self._ladder
        decision = ladder.observe(reading, self._device.others(stream, now), now)
        share = Share(
            load=reading.load,
            need=own_need(reading, ladder.level, self._promise),
            least_need=own_need(reading, ladder.lowest, self._promise),
            is_in_trouble=ladder.is_in_trouble(now),
            is_probing=ladder.is_probing(now),
            is_stuck=ladder.is_stuck,
            can_fall=ladder.can_fall,
            may_be_held=self._may_be_held,
        )
        self._device.report(stream, share, now)
        match decision:
            case Move():
                self._move(decision)
            case Question(move=move, within_ns=within_ns):
                logger.info("stream %s asks: %s", stream, move.text)
                self._ask(LevelQuestion(text=move.text, within_s=within_ns / NS_PER_S))

    def _move(self, move: Move) -> None:
        logger.info("stream %s: %s", self._chunk_pipe.id, move.text)
        if move.is_down:
            self._device.note_fall(self._chunk_pipe.id, now_ns())
        self._metrics.level_moved(move.cause.value, is_down=move.is_down)
        self.lowered = "" if self._ladder.level == self._ladder.top else move.text
        self._apply_level()
        self._tell(move.text, is_down=move.is_down)
        if move.after.is_held or move.before.is_held:
            self._on_given_way(move.after.is_held)

    def _apply_level(self) -> None:
        level, updates = self._ladder.level, self._updates
        self._moved_ns = now_ns()
        self._meter.restart()
        self._chunk_pipe.limit_rate(level.fps)
        if self._has_sizes and not level.is_held:
            self._chunk_pipe.limit_size(level.size_px)
        self._chunk_pipe.give_way(level.is_held)
        in_force, chosen = updates.current.denoising_step_list, updates.chosen_steps
        if chosen and not level.is_held and in_force != chosen[: level.steps]:
            updates.set_level(chosen[: level.steps])

    def _tell(self, text: str, *, is_down: bool) -> None:
        level = self._ladder.level
        self._chunk_pipe.send(
            LevelMoved(
                steps=level.steps,
                fps=level.fps,
                size_px=level.size_px,
                chosen_steps=self._ladder.top.steps,
                is_down=is_down,
                text=text,
                lowered=self.lowered,
            )
        )


def _smaller_start_px(ready: Ready) -> int:
    """The scale at which the engine lets streams begin; 0 if it is its largest."""
    sizes = {one.size: one.scale_px for one in ready.sizes}
    start_px = sizes.get(ready.geometry.size, 0)
    return start_px if start_px < max(sizes.values(), default=0) else 0

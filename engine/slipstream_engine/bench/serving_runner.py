"""A pipeline under the engine's own loop, with a viewer on every lane who never makes it wait."""

import socket
import threading
import time
from contextlib import ExitStack
from typing import Any

import msgspec
from slipstream_protocol.arena import Arena, Layout
from slipstream_protocol.channel import Channel, open_pair
from slipstream_protocol.clock import NS_PER_S, now_ns
from slipstream_protocol.frames import I420
from slipstream_protocol.messages import (
    ChunkIn,
    ChunkOut,
    Message,
    OpenStream,
    SlotFree,
    SlotRead,
    Stop,
    StreamRefused,
    ToServer,
)
from slipstream_protocol.parameters import Parameters

from slipstream_engine.bench.workload import BenchDuration, ChunkSample, Scene, check_not_flat
from slipstream_engine.diffusion.pipeline import DiffusionPipeline
from slipstream_engine.serving.calibration import calibrate
from slipstream_engine.serving.loop import Loop

_NEVER_NS = 3600 * NS_PER_S  # nobody waits for a picture, so none is late
_SILENT_S = 600.0
_READ_BYTES = 1 << 16


class _Viewers:
    """All lanes' viewers, at the far end of the channel."""

    def __init__(self, sock: socket.socket, arena: Arena, scene: Scene) -> None:
        sock.settimeout(_SILENT_S)
        self._sock = sock
        self._arena = arena
        self._scene = scene
        self._bytes = b""
        self._sent = [0] * arena.layout.lanes
        self._sent_s: dict[tuple[int, int], float] = {}

    def say(self, message: Message) -> None:
        payload = msgspec.msgpack.encode(message)
        self._sock.sendall(len(payload).to_bytes(4, "little") + payload)

    def hear(self) -> ToServer:
        while len(self._bytes) < 4 or len(self._bytes) < 4 + self._length:
            self._bytes += self._sock.recv(_READ_BYTES)
        payload = self._bytes[4 : 4 + self._length]
        self._bytes = self._bytes[4 + self._length :]
        message: ToServer = msgspec.msgpack.decode(payload, type=ToServer)
        return message

    @property
    def _length(self) -> int:
        return int.from_bytes(self._bytes[:4], "little")

    def feed(self, lane: int) -> None:
        number = self._sent[lane]
        frames_THW = self._scene.chunk(number)
        self._arena.input(lane, 0)[: len(frames_THW)] = frames_THW
        self._sent[lane] += 1
        self._sent_s[lane, number] = time.perf_counter()
        self.say(
            ChunkIn(
                lane=lane,
                slot=0,
                chunk=number,
                frames=len(frames_THW),
                captured_ns=now_ns() + _NEVER_NS,
                submitted_ns=now_ns(),
            )
        )

    def take(self, out: ChunkOut) -> tuple[ChunkSample, I420]:
        """A chunk that has come, read as the server does."""
        done_s = time.perf_counter()
        frames_THW = self._arena.output(out.lane, out.slot)[: out.frames].copy()
        self.say(SlotRead(lane=out.lane, slot=out.slot))
        took_s = done_s - self._sent_s.pop((out.lane, out.chunk))
        made = ChunkSample(stream=out.lane, done_s=done_s, took_s=took_s, stages=out.stages)
        return made, frames_THW


def serve_viewers(
    pipeline: DiffusionPipeline[Any],
    scene: Scene,
    parameters: Parameters,
    warm_up: int,
    effort: BenchDuration,
) -> tuple[list[ChunkSample], float]:
    """Chunks of all streams after the first `warm_up` of each, and the loop's overhead as a share.

    Raises:
        RuntimeError: if the pipeline has no room for as many streams as it has lanes, or the
            model's output is dead.
    """
    layout = Layout(geometry=pipeline.geometry, lanes=pipeline.max_streams, in_slots=1, out_slots=2)
    ours, theirs = open_pair()
    with ExitStack() as opened:
        opened.callback(ours.close)
        channel = Channel(theirs)
        opened.callback(channel.close)
        arena = Arena.create(layout)
        opened.callback(arena.close)
        latency = calibrate(pipeline).latency
        loop = Loop(pipeline, channel, arena, age_target_ns=_NEVER_NS, latency=latency)
        thread = threading.Thread(target=loop.run, name="engine loop")
        thread.start()
        opened.callback(thread.join)
        opened.callback(ours.close)
        viewers = _Viewers(ours, arena, scene)
        made = _watch(viewers, layout.lanes, parameters, warm_up, effort)
        viewers.say(Stop())
    return made, loop.stats.overhead_share


def _watch(
    viewers: _Viewers, lanes: int, parameters: Parameters, warm_up: int, effort: BenchDuration
) -> list[ChunkSample]:
    for lane in range(lanes):
        viewers.say(OpenStream(lane=lane, parameters=parameters))
        viewers.feed(lane)
    made: list[ChunkSample] = []
    counts = [0] * lanes
    begin_s = time.perf_counter()
    while True:
        match message := viewers.hear():
            case StreamRefused(reason=reason):
                raise RuntimeError(reason)
            case SlotFree(lane=lane):
                viewers.feed(lane)
            case ChunkOut(lane=lane):
                each, frames_THW = viewers.take(message)
                counts[lane] += 1
                if counts[lane] == warm_up:
                    check_not_flat(frames_THW)
                if min(counts) <= warm_up:
                    begin_s = time.perf_counter()
                    continue
                made.append(each)
                is_enough = min(counts) >= warm_up + effort.chunks
                if is_enough and time.perf_counter() - begin_s >= effort.seconds:
                    return made
            case _:
                pass  # the engine speaks of its start

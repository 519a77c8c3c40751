"""A pipeline under the engine's own loop, with a client on every lane that never makes it wait."""

import threading
import time
from contextlib import ExitStack
from typing import Any

from slipstream_protocol.arena import Arena, Layout
from slipstream_protocol.channel import Channel, engine_end, open_pair, server_end
from slipstream_protocol.clock import NS_PER_S, now_ns
from slipstream_protocol.frames import I420
from slipstream_protocol.messages import (
    ChunkIn,
    ChunkOut,
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
from slipstream_engine.group.pipeline import GroupPipeline
from slipstream_engine.serving.calibration import calibrate, latency_of
from slipstream_engine.serving.loop import Loop
from slipstream_engine.serving.stats import LoopStats

_NEVER_NS = 3600 * NS_PER_S  # nobody waits for a frame, so none is late
_SILENCE_S = 600.0


ServedPipeline = DiffusionPipeline[Any] | GroupPipeline


class _Clients:
    """The clients of all lanes, at the server's end of the channel.

    Args:
        channel: to the loop.
        arena: shared with it.
        scene: the frames that all of them send.
    """

    def __init__(self, channel: Channel[ToServer], arena: Arena, scene: Scene) -> None:
        self.channel = channel
        self._arena = arena
        self._scene = scene
        self._sent_chunks = [0] * arena.layout.lanes
        self._sent_s: dict[tuple[int, int], float] = {}

    def receive(self) -> ToServer:
        """The loop's next message.

        Raises:
            TimeoutError: if none comes for ten minutes.
        """
        message = self.channel.receive(_SILENCE_S)
        if message is None:
            raise TimeoutError(f"the engine's loop has been silent for {_SILENCE_S:.0f} s")
        return message

    def send_chunk(self, lane: int) -> None:
        """Send the lane's next chunk in its input slot."""
        number = self._sent_chunks[lane]
        frames_THW = self._scene.chunk(number)
        self._arena.input(lane, 0)[: len(frames_THW)] = frames_THW
        self._sent_chunks[lane] += 1
        self._sent_s[lane, number] = time.perf_counter()
        self.channel.send(
            ChunkIn(
                lane=lane,
                slot=0,
                chunk=number,
                frames=len(frames_THW),
                captured_ns=now_ns() + _NEVER_NS,
                submitted_ns=now_ns(),
                size=self._arena.layout.geometry.size,
            )
        )

    def read_chunk(self, out: ChunkOut) -> tuple[ChunkSample, I420]:
        """The times and the frames of a finished chunk, copied out as the server does."""
        done_s = time.perf_counter()
        frames_THW = self._arena.output(out.lane, out.slot)[: out.frames].copy()
        self.channel.send(SlotRead(lane=out.lane, slot=out.slot))
        took_s = done_s - self._sent_s.pop((out.lane, out.chunk))
        sample = ChunkSample(stream=out.lane, done_s=done_s, took_s=took_s, stages=out.stages)
        return sample, frames_THW


def serve_clients(
    pipeline: ServedPipeline,
    scene: Scene,
    parameters: Parameters,
    warm_up_chunks: int,
    duration: BenchDuration,
) -> tuple[list[ChunkSample], LoopStats]:
    """Serve a client on every lane.

    Returns:
        chunks of all streams after the first `warm_up_chunks` of each, and where the loop's time
        went.

    Raises:
        RuntimeError: if the pipeline has no room for as many streams as it has lanes, or the
            model's output is dead.
    """
    layout = Layout(geometry=pipeline.geometry, lanes=pipeline.max_streams, in_slots=1, out_slots=2)
    server_sock, engine_sock = open_pair()
    with ExitStack() as opened:
        client_channel = server_end(server_sock)
        opened.callback(client_channel.close)
        loop_channel = engine_end(engine_sock)
        opened.callback(loop_channel.close)
        arena = Arena.create(layout)
        opened.callback(arena.close)
        latency = latency_of([calibrate(pipeline)])
        loop: Loop[Any] = Loop(
            pipeline, loop_channel, arena, age_target_ns=_NEVER_NS, latency=latency
        )
        thread = threading.Thread(target=loop.run, name="engine loop")
        thread.start()
        opened.callback(thread.join)
        opened.callback(client_channel.close)  # ends the loop, whatever has happened
        clients = _Clients(client_channel, arena, scene)
        period_ns = round(pipeline.geometry.chunk_frames * NS_PER_S / pipeline.fps)
        samples = _collect(
            clients, layout.lanes, parameters, warm_up_chunks, duration, period_ns=period_ns
        )
        client_channel.send(Stop())
    return samples, loop.stats


def _collect(
    clients: _Clients,
    lanes: int,
    parameters: Parameters,
    warm_up_chunks: int,
    duration: BenchDuration,
    *,
    period_ns: int,
) -> list[ChunkSample]:
    for lane in range(lanes):
        # at the rate of a camera, or else the engine would take its chunks for rare ones at first
        clients.channel.send(
            OpenStream(lane=lane, parameters=parameters, period_ns=period_ns, is_return=True)
        )
        clients.send_chunk(lane)
    samples: list[ChunkSample] = []
    finished = [0] * lanes
    begin_s = time.perf_counter()
    while True:
        match message := clients.receive():
            case StreamRefused(reason=reason):
                raise RuntimeError(reason)
            case SlotFree(lane=lane):
                clients.send_chunk(lane)
            case ChunkOut(lane=lane):
                sample, frames_THW = clients.read_chunk(message)
                finished[lane] += 1
                if finished[lane] == warm_up_chunks:
                    check_not_flat(frames_THW)
                if min(finished) <= warm_up_chunks:
                    begin_s = time.perf_counter()
                    continue
                samples.append(sample)
                is_enough = min(finished) >= warm_up_chunks + duration.chunks
                if is_enough and time.perf_counter() - begin_s >= duration.seconds:
                    return samples
            case _:
                pass  # `Ready` and `StreamOpened`

"""The server's end of a running loop: sends messages, reads answers, keeps the rules of slots."""

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec
from slipstream_engine.scheduling.latency_model import LatencyModel
from slipstream_engine.serving.loop import AGE_TARGET_NS, Loop
from slipstream_engine.serving.pipeline_protocol import Pipeline
from slipstream_protocol.arena import Arena, Layout
from slipstream_protocol.channel import engine_end, open_pair, server_end
from slipstream_protocol.clock import now_ns
from slipstream_protocol.frames import I420
from slipstream_protocol.messages import (
    ChunkDropped,
    ChunkIn,
    ChunkOut,
    Message,
    OpenStream,
    SlotFree,
    SlotRead,
    StreamOpened,
    ToServer,
    Update,
)
from slipstream_protocol.parameters import Parameters

from tests.engine.toys import moving_chunk

DEADLINE_S = 20
NEVER_NS = 3600 * 10**9  # from now: no chunk is late


class LoopHarness:
    """A loop in a thread of its own; every answer is waited for with a deadline."""

    def __init__(
        self,
        pipeline: Pipeline[Any],
        layout: Layout,
        *,
        age_target_ns: int = AGE_TARGET_NS,
        latency: LatencyModel | None = None,
    ) -> None:
        server_sock, engine_sock = open_pair()
        self.arena = Arena.create(layout)
        self.geometry = layout.geometry
        self._channel = server_end(server_sock)
        self._loop_channel = engine_end(engine_sock)
        loop = Loop(
            pipeline, self._loop_channel, self.arena, age_target_ns=age_target_ns, latency=latency
        )
        self._thread = threading.Thread(target=loop.run)
        self._thread.start()

    def send(self, *messages: Message) -> None:
        for message in messages:
            self._channel.send(message)

    def receive(self) -> ToServer:
        message = self._channel.receive(DEADLINE_S)
        assert message is not None, "the engine is silent"
        return message

    def chunk(self, lane: int, number: int, *, slot: int = 0, ahead_ns: int = 0) -> ChunkIn:
        """A chunk whose oldest frame is taken `ahead_ns` from now."""
        now = now_ns()
        return ChunkIn(
            lane=lane,
            slot=slot,
            chunk=number,
            frames=self.geometry.frames_of(number),
            captured_ns=now + ahead_ns,
            submitted_ns=now,
            size=self.geometry.size,
        )

    def open(self, lane: int, **parameters: object) -> None:
        self.send(OpenStream(lane=lane, parameters=msgspec.convert(parameters, Parameters)))
        opened = self.receive()
        assert isinstance(opened, StreamOpened) and opened.lane == lane

    def wait(self) -> None:
        self._thread.join(DEADLINE_S)
        assert not self._thread.is_alive()

    def close(self) -> None:
        self._channel.close()
        self.wait()
        self._loop_channel.close()
        self.arena.close()


@dataclass(kw_only=True)
class LaneClient:
    """The client of one lane: it sends its next chunk as soon as it has a free slot.

    With two slots a chunk always waits before the one before it is finished.

    Args:
        chunks: how many it sends in all.
        updates: sent before the chunk of that number.
        seed: of its frames.
        slots: how many input slots it uses.
        other_messages: received on its lane, beside chunks and slots.
        generated: frames by the number of their chunk.
    """

    harness: LoopHarness
    lane: int
    chunks: int
    updates: Mapping[int, Parameters] = field(default_factory=dict)
    seed: int = 0
    slots: int = 1
    other_messages: list[ToServer] = field(default_factory=list)
    generated: dict[int, I420] = field(default_factory=dict)
    sent: int = 0

    def __post_init__(self) -> None:
        self._free_slots = list(range(self.slots))

    @property
    def is_done(self) -> bool:
        return len(self.generated) == self.chunks

    @property
    def is_idle(self) -> bool:
        """Whether it is done and owns all of its slots, so that no message is to come."""
        return self.is_done and len(self._free_slots) == self.slots

    def send_chunks(self) -> None:
        """Send as many chunks as there are free slots."""
        while self._free_slots and self.sent < self.chunks:
            if self.sent in self.updates:
                self.harness.send(Update(lane=self.lane, parameters=self.updates[self.sent]))
            frames, slot = moving_chunk(self.sent, seed=self.seed), self._free_slots.pop(0)
            self.harness.arena.input(self.lane, slot)[: len(frames)] = frames
            self.harness.send(
                self.harness.chunk(self.lane, self.sent, slot=slot, ahead_ns=NEVER_NS)
            )
            self.sent += 1

    def handle(self, message: ToServer) -> None:
        match message:
            case SlotFree(slot=slot):
                self._free_slots.append(slot)
                self.send_chunks()
            case ChunkOut(slot=slot, chunk=chunk, frames=frames):
                self.generated[chunk] = self.harness.arena.output(self.lane, slot)[:frames].copy()
                self.harness.send(SlotRead(lane=self.lane, slot=slot))
            case ChunkDropped(chunk=chunk):
                raise AssertionError(f"chunk {chunk} was dropped")
            case _:
                self.other_messages.append(message)


def run_clients(*clients: LaneClient) -> list[ToServer]:
    """Serve them until all have all of their chunks and slots.

    Returns:
        The messages on no client's lane.
    """
    by_lane = {client.lane: client for client in clients}
    others: list[ToServer] = []
    for client in clients:
        client.send_chunks()
    while not all(client.is_idle for client in clients):
        message = clients[0].harness.receive()
        addressee = by_lane.get(getattr(message, "lane", -1))
        if addressee is None:
            others.append(message)
        else:
            addressee.handle(message)
    return others

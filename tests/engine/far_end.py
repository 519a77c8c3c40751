"""The server's side of a running loop: says things, reads answers, keeps to the rules of slots."""

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec
from slipstream_engine.scheduling.latency_model import LatencyModel
from slipstream_engine.serving.loop import AGE_TARGET_NS, Loop
from slipstream_engine.serving.pipeline_protocol import Pipeline
from slipstream_protocol.arena import Arena, Layout
from slipstream_protocol.channel import Channel, open_pair
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


class FarEnd:
    """A loop in a thread of its own; every answer is waited for with a deadline."""

    def __init__(
        self,
        pipeline: Pipeline[Any],
        layout: Layout,
        *,
        age_target_ns: int = AGE_TARGET_NS,
        latency: LatencyModel | None = None,
    ) -> None:
        ours, theirs = open_pair()
        self.arena = Arena.create(layout)
        self.geometry = layout.geometry
        self._channel = Channel(theirs)
        self.loop = Loop(
            pipeline, self._channel, self.arena, age_target_ns=age_target_ns, latency=latency
        )
        self._thread = threading.Thread(target=self.loop.run)
        self._thread.start()
        ours.settimeout(DEADLINE_S)
        self._sock = ours
        self._bytes = b""

    def say(self, *messages: Message) -> None:
        for message in messages:
            payload = msgspec.msgpack.encode(message)
            self._sock.sendall(len(payload).to_bytes(4, "little") + payload)

    def hear(self) -> ToServer:
        while len(self._bytes) < 4 or len(self._bytes) < 4 + self._length:
            data = self._sock.recv(65536)
            assert data, "the engine hung up"
            self._bytes += data
        payload, self._bytes = (
            self._bytes[4 : 4 + self._length],
            self._bytes[4 + self._length :],
        )
        message: ToServer = msgspec.msgpack.decode(payload, type=ToServer)
        return message

    @property
    def _length(self) -> int:
        return int.from_bytes(self._bytes[:4], "little")

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
        )

    def open(self, lane: int, **parameters: object) -> None:
        self.say(OpenStream(lane=lane, parameters=msgspec.convert(parameters, Parameters)))
        opened = self.hear()
        assert isinstance(opened, StreamOpened) and opened.lane == lane

    def wait(self) -> None:
        self._thread.join(DEADLINE_S)
        assert not self._thread.is_alive()

    def close(self) -> None:
        self._sock.close()
        self.wait()
        self._channel.close()
        self.arena.close()


@dataclass(kw_only=True)
class Viewer:
    """One lane's clip: the next chunk is sent as soon as there is a slot for it.

    With two slots a chunk is always there before its elder is done.

    Args:
        updates: said before the chunk of that number.
        seed: of the clip.
        told: whatever else was said to it.
    """

    far_end: FarEnd
    lane: int
    chunks: int
    updates: Mapping[int, Parameters] = field(default_factory=dict)
    seed: int = 0
    slots: int = 1
    told: list[ToServer] = field(default_factory=list)
    made: dict[int, I420] = field(default_factory=dict)
    sent: int = 0

    @property
    def is_done(self) -> bool:
        return len(self.made) == self.chunks

    def feed(self) -> None:
        if self.sent == self.chunks:
            return
        if self.sent in self.updates:
            self.far_end.say(Update(lane=self.lane, parameters=self.updates[self.sent]))
        frames, slot = moving_chunk(self.sent, seed=self.seed), self.sent % self.slots
        self.far_end.arena.input(self.lane, slot)[: len(frames)] = frames
        self.far_end.say(self.far_end.chunk(self.lane, self.sent, slot=slot, ahead_ns=NEVER_NS))
        self.sent += 1

    def take(self, message: ToServer) -> None:
        match message:
            case SlotFree():
                self.feed()
            case ChunkOut(slot=slot, chunk=chunk, frames=frames):
                self.made[chunk] = self.far_end.arena.output(self.lane, slot)[:frames].copy()
                self.far_end.say(SlotRead(lane=self.lane, slot=slot))
            case ChunkDropped(chunk=chunk):
                raise AssertionError(f"chunk {chunk} was dropped")
            case _:
                self.told.append(message)


def watch(*viewers: Viewer) -> list[ToServer]:
    """Until all have all of their chunks; returns what was said that is no viewer's."""
    by_lane = {viewer.lane: viewer for viewer in viewers}
    others: list[ToServer] = []
    for viewer in viewers:
        for _ in range(viewer.slots):
            viewer.feed()
    while not all(viewer.is_done for viewer in viewers):
        message = viewers[0].far_end.hear()
        viewer_of = by_lane.get(getattr(message, "lane", -1))
        if viewer_of is None:
            others.append(message)
        else:
            viewer_of.take(message)
    return others

"""The channel, between two real processes and at its edges."""

import asyncio
import contextlib
import os
import socket
import struct
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from slipstream_protocol.arena import Arena, Slots
from slipstream_protocol.async_channel import UNSENT_MAX_BYTES, AsyncChannel
from slipstream_protocol.channel import ChannelClosed, engine_end, open_pair, server_end
from slipstream_protocol.clock import now_ns
from slipstream_protocol.framing import MESSAGE_MAX_BYTES, ChannelError, pack_message
from slipstream_protocol.messages import (
    ChunkIn,
    ChunkOut,
    Loading,
    Ready,
    SlotFree,
    SlotRead,
    Stop,
    Update,
)
from slipstream_protocol.parameters import Parameters

from tests.protocol.echo_process import LAYOUT

DEADLINE_S = 60


@contextlib.asynccontextmanager
async def inverter(*, die_at: int = -1) -> AsyncIterator[tuple[AsyncChannel, Arena]]:
    """A running `echo_process` and its arena; ended when the block ends."""
    ours, theirs = open_pair()
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(Path(__file__).with_name("echo_process.py")),
        str(theirs.fileno()),
        str(die_at),
        pass_fds=[theirs.fileno()],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    theirs.close()
    channel = AsyncChannel(ours)
    arena = None
    try:
        async with asyncio.timeout(DEADLINE_S):
            assert isinstance(await channel.receive(), Ready)
        (descriptor,) = channel.take_descriptors(1)
        arena = Arena(descriptor, LAYOUT)
        yield channel, arena
    finally:
        channel.close()
        if arena is not None:
            arena.close()
        async with asyncio.timeout(DEADLINE_S):
            await process.wait()


def picture(lane: int, chunk: int) -> int:
    """The one value that fills every pixel of a chunk: a torn frame would hold two."""
    return (lane * 101 + chunk * 7) % 256


async def test_no_frame_is_torn_and_no_wake_up_is_lost() -> None:
    """3,000 chunks over two lanes, as fast as slots come back, all arrive whole and in order."""
    chunks = 1500
    async with inverter() as (channel, arena), asyncio.timeout(DEADLINE_S):
        inputs = [Slots(LAYOUT.in_slots, owned=True) for _ in range(LAYOUT.lanes)]
        sent = [0, 0]
        received = [0, 0]
        while received != [chunks, chunks]:
            for lane, slots in enumerate(inputs):
                while sent[lane] < chunks and (slot := slots.take()) is not None:
                    arena.input(lane, slot)[:] = picture(lane, sent[lane])
                    channel.send(
                        ChunkIn(
                            lane=lane,
                            slot=slot,
                            chunk=sent[lane],
                            frames=4,
                            captured_ns=0,
                            submitted_ns=now_ns(),
                            size=LAYOUT.geometry.size,
                        )
                    )
                    sent[lane] += 1
            match await channel.receive():
                case SlotFree(lane=lane, slot=slot):
                    inputs[lane].give(slot)
                case ChunkOut(lane=lane, slot=slot, chunk=chunk):
                    assert chunk == received[lane]
                    assert np.all(arena.output(lane, slot) == 255 - picture(lane, chunk))
                    received[lane] += 1
                    channel.send(SlotRead(lane=lane, slot=slot))


async def test_death_is_noticed_at_once() -> None:
    """a killed process is an end of file on the channel, after all that it had said."""
    async with inverter(die_at=0) as (channel, _arena), asyncio.timeout(DEADLINE_S):
        size = LAYOUT.geometry.size
        channel.send(
            ChunkIn(lane=0, slot=0, chunk=0, frames=5, captured_ns=0, submitted_ns=0, size=size)
        )
        with pytest.raises(ChannelClosed, match="the engine has closed the channel"):
            await channel.receive()
        with pytest.raises(ChannelClosed, match="the engine has closed the channel"):
            channel.send(Stop())


async def test_a_side_that_never_reads_cannot_fill_our_memory() -> None:
    """what the engine leaves unread is bounded; beyond that it counts as gone."""
    ours, theirs = open_pair()
    channel = AsyncChannel(ours)
    update = Update(lane=0, parameters=Parameters(prompt="x" * 2000))
    with pytest.raises(ChannelClosed, match=f"at most {UNSENT_MAX_BYTES}"):
        for _ in range(2 * UNSENT_MAX_BYTES // 2000):
            channel.send(update)
    channel.close()
    theirs.close()


async def test_what_was_held_back_arrives_in_order() -> None:
    """a full socket delays messages and keeps their order."""
    ours, theirs = open_pair()
    channel, engine = AsyncChannel(ours), engine_end(theirs)
    sent = [Update(lane=n, parameters=Parameters(prompt="y" * 2000)) for n in range(500)]
    for update in sent:
        channel.send(update)
    received = await asyncio.to_thread(lambda: [engine.receive(DEADLINE_S) for _ in sent])
    assert received == sent
    channel.close()
    engine.close()


async def test_closing_wakes_the_one_who_waits() -> None:
    """no task is left behind on a channel that is closed here."""
    ours, theirs = open_pair()
    channel = AsyncChannel(ours)
    waiting = asyncio.create_task(channel.receive())
    await asyncio.sleep(0)
    channel.close()
    with pytest.raises(ChannelClosed, match="was closed"):
        await waiting
    theirs.close()


def test_a_timeout_is_not_an_end() -> None:
    """`receive` gives None when nothing came in time, and the message when it does come."""
    ours, theirs = open_pair()
    engine = engine_end(theirs)
    assert engine.receive(timeout_s=0) is None
    ours.send(wire(Stop()))
    assert engine.receive(timeout_s=0) == Stop()
    ours.close()
    with pytest.raises(ChannelClosed):
        engine.receive(timeout_s=0)
    engine.close()


def test_descriptors_of_messages_nobody_read_are_closed() -> None:
    """a channel that goes away takes its descriptors with it."""
    ours, theirs = open_pair()
    engine = engine_end(ours)
    reading, writing = os.pipe()
    socket.send_fds(theirs, [wire(Stop())], [writing])
    os.close(writing)
    assert engine.receive(timeout_s=DEADLINE_S) == Stop()
    engine.close()
    assert os.read(reading, 1) == b""  # every copy of the writing end is closed
    os.close(reading)
    theirs.close()


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (struct.pack("<I", MESSAGE_MAX_BYTES + 1), "announced"),
        (struct.pack("<I", 3) + b"\xc1\xc1\xc1", "not a message of this protocol"),
        (struct.pack("<I", 10) + b"\x91\xa8Mistaken", "not a message of this protocol"),
    ],
)
def test_garbage_is_named(data: bytes, reason: str) -> None:
    """bytes that are no message are an error, never a guess."""
    ours, theirs = open_pair()
    engine = engine_end(ours)
    theirs.sendall(data)
    with pytest.raises(ChannelError, match=reason):
        engine.receive(timeout_s=DEADLINE_S)
    engine.close()
    theirs.close()


def test_a_message_too_long_is_not_sent() -> None:
    """the sender learns of it, not the receiver."""
    ours, theirs = open_pair()
    engine = engine_end(ours)
    with pytest.raises(ChannelError, match=r"Loading is 20000\d\d bytes"):
        engine.send(Loading(stage="z" * 2_000_000))
    engine.close()
    theirs.close()


def wire(message: Stop | Update) -> bytes:
    payload = msgspec.msgpack.encode(message)
    return struct.pack("<I", len(payload)) + payload


@given(st.lists(st.integers(1, 40), max_size=60))
def test_the_cut_of_the_stream_does_not_matter(cuts: list[int]) -> None:
    """messages are the same however the socket cuts their bytes."""
    sent = [Update(lane=n, parameters=Parameters(prompt="p" * n, rev=n)) for n in range(8)]
    data = b"".join(wire(update) for update in sent)
    ours, theirs = open_pair()
    engine = engine_end(ours)
    received = []
    for cut in [*cuts, len(data)]:
        theirs.sendall(data[:cut])
        data = data[cut:]
        while (message := engine.receive(timeout_s=0)) is not None:
            received.append(message)
    assert received == sent
    engine.close()
    theirs.close()


def test_several_messages_are_sent_at_once() -> None:
    """and come out one by one or all in one read, in order; the end of the other side is told after
    what it has said."""
    ours, theirs = open_pair()
    with (
        contextlib.closing(server_end(ours)) as server,
        contextlib.closing(engine_end(theirs)) as end,
    ):
        messages = [SlotRead(lane=1, slot=slot) for slot in range(3)]
        packed = b"".join(map(pack_message, [*messages, Stop()]))
        server.send_packed(packed)
        assert [end.receive() for _ in range(4)] == [*messages, Stop()]
        server.send_packed(packed * 2)
        assert end.receive() == messages[0]  # it has read the rest by now
        server.close()
        assert list(end.read()) == [*messages[1:], Stop(), *messages, Stop()]
        with pytest.raises(ChannelClosed, match="the server has closed the channel"):
            next(end.read())

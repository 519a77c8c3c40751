"""serving/loop.py over a real model: in any mode, beside any other streams, the same frames."""

import gc
import resource
from collections.abc import Callable
from typing import Any

import pytest
import torch
from slipstream_engine.diffusion.stream import DiffusionStream
from slipstream_protocol.frames import I420
from slipstream_protocol.messages import (
    Applied,
    ChunkDropped,
    ChunkOut,
    CloseStream,
    Failed,
    OpenStream,
    SlotFree,
    SlotRead,
    StreamClosed,
    StreamOpened,
    StreamRefused,
    ToServer,
    Update,
    UpdateRefused,
)
from slipstream_protocol.parameters import Parameters

from tests.engine.loop_harness import NEVER_NS, LaneClient, LoopHarness, run_clients
from tests.engine.served_toy import (
    CHUNKS,
    EVENTS,
    PRESET,
    alone,
    assert_close,
    assert_equal,
    pipeline,
    serving,
    spy,
)
from tests.engine.toys import (
    moving_chunk,
)


def test_the_loop_generates_the_same_frames() -> None:
    """Through prompts, transitions, 1 to 4 steps, strength, seeds and a reset, in their order."""
    with serving(pipeline()) as harness:
        harness.open(0)
        client = LaneClient(harness=harness, lane=0, chunks=CHUNKS, updates=EVENTS)
        run_clients(client)
    assert_equal(client.generated, alone(events=EVENTS))


def test_a_stream_batch_generates_the_same_frames(monkeypatch: pytest.MonkeyPatch) -> None:
    """Saturated, a chunk follows one step behind the other; the frames differ by rounding alone."""
    served = pipeline(cpu_batch=4)
    sizes = spy(served, monkeypatch)
    with serving(served, age_target_ns=1000) as harness:  # a period that any chunk exceeds
        harness.open(0)
        client = LaneClient(harness=harness, lane=0, chunks=CHUNKS, updates=EVENTS)
        run_clients(client)
    assert max(sizes) > 1
    assert_close(client.generated, alone(events=EVENTS))


def test_a_chunk_of_another_shape_waits_for_the_one_before(monkeypatch: pytest.MonkeyPatch) -> None:
    """Saturated, with the next chunk always there: where the number of steps changes or a new epoch
    begins it does not follow a step behind; no frame is lost, and all are what they are alone."""
    steps = (4, 1, 3, 2, 2, 1, 4)
    every = PRESET.schedule.step_list
    events = {
        number: Parameters(
            denoising_step_list=every[: steps[number % 7]], reset_cache=number in (13, 14, 20)
        )
        for number in range(5, CHUNKS)
    }
    served = pipeline(cpu_batch=4)
    sizes = spy(served, monkeypatch)
    with serving(served, in_slots=2, age_target_ns=1000) as harness:
        harness.open(0)
        client = LaneClient(harness=harness, lane=0, chunks=CHUNKS, updates=events, slots=2)
        run_clients(client)
    assert max(sizes) > 1
    assert list(client.generated) == list(range(CHUNKS))
    assert_close(client.generated, alone(events=events))


def test_streams_that_share_passes_generate_the_same_frames(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Three clients with prompts and seeds of their own; to within rounding."""
    settings: list[dict[str, Any]] = [{}, {"prompt": "a dog", "seed": 4}, {"prompt": "a fish"}]
    served = pipeline(cpu_batch=8)
    sizes = spy(served, monkeypatch)
    with serving(served) as harness:
        for lane, parameters in enumerate(settings):
            harness.open(lane, **parameters)
        clients = [
            LaneClient(harness=harness, lane=lane, chunks=CHUNKS, seed=lane) for lane in range(3)
        ]
        run_clients(*clients)
    assert max(sizes) > 1
    for lane, parameters in enumerate(settings):
        assert_close(clients[lane].generated, alone(Parameters(**parameters), seed=lane))


def test_two_streams_do_not_affect_each_other() -> None:
    """In passes of their own each gets, bit for bit, what it gets alone."""
    with serving(pipeline()) as harness:
        harness.open(0)
        harness.open(1, prompt="a dog", seed=9)
        one = LaneClient(harness=harness, lane=0, chunks=CHUNKS, updates=EVENTS)
        two = LaneClient(harness=harness, lane=1, chunks=CHUNKS, seed=3)
        run_clients(one, two)
    assert_equal(one.generated, alone(events=EVENTS))
    assert_equal(two.generated, alone(Parameters(prompt="a dog", seed=9), seed=3))


def test_streams_that_come_and_go_affect_no_other() -> None:
    """Opened, fed and cut off in mid-chunk, over and over, beside one that runs."""
    with serving(pipeline()) as harness:
        harness.open(0)
        client = LaneClient(harness=harness, lane=0, chunks=CHUNKS)
        client.send_chunks()
        rounds = 0

        def open_again() -> None:
            first = harness.chunk(1, 0, ahead_ns=NEVER_NS)
            harness.send(OpenStream(lane=1, parameters=Parameters(seed=rounds)), first)

        open_again()
        while not client.is_done:
            message = harness.receive()
            if message.lane == 0:  # type: ignore[union-attr]  # of those that come here
                client.handle(message)
            elif isinstance(message, SlotFree):
                harness.send(harness.chunk(1, 1, ahead_ns=NEVER_NS), CloseStream(lane=1))
            elif isinstance(message, StreamClosed):
                rounds += 1
                open_again()
            else:
                assert isinstance(message, StreamOpened | ChunkOut)
    assert rounds > 5
    assert_equal(client.generated, alone())


def test_a_flood_of_chunks_ends_its_own_stream() -> None:
    """Chunks without a slot for them pile up to a bound; the other stream has all its frames."""
    with serving(pipeline()) as harness:
        harness.open(0)
        harness.open(1)
        client = LaneClient(harness=harness, lane=0, chunks=12)
        harness.send(*(harness.chunk(1, number) for number in range(400)))
        others = run_clients(client)
        while not any(isinstance(message, Failed) for message in others):
            others.append(harness.receive())
    failed = [message for message in others if isinstance(message, Failed)]
    assert [message.lane for message in failed] == [1]
    assert "wait for a chunk to begin" in failed[0].reason
    assert_equal(client.generated, alone(chunks=range(12)))


def until(
    harness: LoopHarness, kind: type[ToServer], client: LaneClient | None = None
) -> list[ToServer]:
    """All messages until one of `kind` on lane 1."""
    received: list[ToServer] = []
    while not received or not isinstance(received[-1], kind):
        message = harness.receive()
        if client is not None and message.lane == 0:  # type: ignore[union-attr]  # as above
            client.handle(message)
        else:
            received.append(message)
    return received


def test_a_held_chunk_is_dropped_before_it_is_begun() -> None:
    """A client that reads no output loses the chunk that waits; its stream goes on as if that one
    had never been sent, and no other stream is affected."""
    with serving(pipeline(), age_target_ns=200_000_000) as harness:
        harness.open(0)
        harness.open(1)
        client = LaneClient(harness=harness, lane=0, chunks=CHUNKS)
        client.send_chunks()
        slots: dict[int, int] = {}
        generated: dict[int, I420] = {}
        for number in (0, 1, 2):
            frames = moving_chunk(number, seed=6)
            harness.arena.input(1, 0)[: len(frames)] = frames
            harness.send(harness.chunk(1, number, ahead_ns=NEVER_NS if number < 2 else 0))
            received = until(harness, SlotFree if number < 2 else ChunkDropped, client)
            for message in received:
                if isinstance(message, ChunkOut):
                    slots[message.chunk] = message.slot
                    generated[message.chunk] = harness.arena.output(1, message.slot)[
                        : message.frames
                    ].copy()
        assert received[-1] == ChunkDropped(lane=1, slot=0, chunk=2)
        assert sorted(generated) == [0, 1]
        frames = moving_chunk(3, seed=6)
        harness.arena.input(1, 0)[: len(frames)] = frames
        harness.send(SlotRead(lane=1, slot=slots[0]), harness.chunk(1, 3, ahead_ns=NEVER_NS))
        for message in until(harness, SlotFree, client):
            if isinstance(message, ChunkOut):
                generated[message.chunk] = harness.arena.output(1, message.slot)[
                    : message.frames
                ].copy()
        while not client.is_done:
            client.handle(harness.receive())
    assert_equal(generated, alone(chunks=(0, 1, 3), seed=6))
    assert_equal(client.generated, alone())


def test_a_flood_of_updates_is_refused_beyond_a_bound() -> None:
    """Updates behind a chunk that cannot begin wait for it, up to a number; each is answered."""
    with serving(pipeline()) as harness:
        harness.open(1)
        for number in (0, 1):
            harness.send(harness.chunk(1, number))
            until(harness, SlotFree)
        harness.send(harness.chunk(1, 2))
        harness.send(*(Update(lane=1, parameters=Parameters(seed=n, rev=n)) for n in range(100)))
        refused = until(harness, UpdateRefused)[-1]
        assert isinstance(refused, UpdateRefused)
        assert refused.rev == 64
        assert refused.reason.startswith("64 messages wait for a chunk to begin")


OUT_OF_MEMORY: tuple[Callable[[], Exception], ...] = (
    lambda: torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB\nmore"),
    lambda: RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 B"),
    MemoryError,
)


@pytest.mark.parametrize("error", OUT_OF_MEMORY, ids=lambda error: type(error()).__name__)
@pytest.mark.parametrize("where", ["fresh_state", "condition", "apply"])
def test_no_memory_is_a_refusal(
    monkeypatch: pytest.MonkeyPatch, error: Callable[[], Exception], where: str
) -> None:
    """Running out of it anywhere while a stream opens is reported, with when to try again. It takes
    no lane and leaves no tensor, the stream beside it has the same frames, the next is opened."""
    served = pipeline(lanes=2)
    owner = {
        "fresh_state": served.bundle.codec,
        "condition": served.bundle.model,
        "apply": DiffusionStream,
    }[where]

    def refuse(*_: object) -> None:
        raise error()

    with serving(served) as harness:
        harness.open(0)
        client = LaneClient(harness=harness, lane=0, chunks=6)
        run_clients(client)
        alive = 0
        with monkeypatch.context() as patch:
            patch.setattr(owner, where, refuse)
            for _ in range(5):
                harness.send(OpenStream(lane=1, parameters=Parameters()))
                refused = harness.receive()
                assert isinstance(refused, StreamRefused)
                assert refused.reason.startswith("no memory for another stream: ")
                assert refused.reason.endswith("; wait until a viewer leaves")
                assert refused.retry_after_s > 0
                alive = alive or tensors()  # a lane keeps its memory once it has been lent
        assert tensors() <= alive
        harness.open(1)
        client.chunks = 12
        other = LaneClient(harness=harness, lane=1, chunks=6, seed=3)
        run_clients(client, other)
    assert_equal(client.generated, alone(chunks=range(12)))
    assert_equal(other.generated, alone(chunks=range(6), seed=3))


def tensors() -> int:
    gc.collect()
    return sum(issubclass(type(thing), torch.Tensor) for thing in gc.get_objects())


@pytest.mark.slow
def test_a_thousand_chunks_leave_nothing_behind() -> None:
    """Two streams that share passes, change prompts and steps: tensors and memory stay flat."""
    served = pipeline(cpu_batch=4)
    events = [Parameters(prompt="a dog"), Parameters(denoising_step_list=(700, 500, 400))]
    events += [Parameters(prompt="a cat", denoising_step_list=(700,)), Parameters(seed=3)]
    updates = {number: events[number // 25 % 4] for number in range(25, 600, 25)}

    with serving(served) as harness:
        harness.open(0)
        harness.open(1, prompt="a fish")
        clients = [LaneClient(harness=harness, lane=n, chunks=600, updates=updates) for n in (0, 1)]
        for client in clients:
            client.send_chunks()
        finished = 0
        while finished < 1200:
            message = harness.receive()
            if isinstance(message, ChunkOut):
                finished += 1
                if finished == 300:
                    alive, kib = tensors(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            if not isinstance(message, Applied):
                clients[message.lane].handle(message)  # type: ignore[union-attr]  # as above
                clients[message.lane].generated.clear()  # type: ignore[union-attr]  # as above
        assert tensors() < alive + 100  # those of a chunk or two that are under way
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - kib < 8 * 1024

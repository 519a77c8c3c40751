"""serving/loop.py over a real model: any mode, any company and any trouble beside it, the same
frames.
"""

import gc
import resource
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

from tests.engine.far_end import NEVER_NS, FarEnd, LaneClient, run_clients
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


def test_the_loop_makes_a_streams_very_frames() -> None:
    """Through prompts, transitions, 1 to 4 steps, strength, seeds and a reset, in their order."""
    with serving(pipeline()) as end:
        end.open(0)
        viewer = LaneClient(far_end=end, lane=0, chunks=CHUNKS, updates=EVENTS)
        run_clients(viewer)
    assert_equal(viewer.generated, alone(events=EVENTS))


def test_a_stream_batch_makes_the_same_frames(monkeypatch: pytest.MonkeyPatch) -> None:
    """Saturated, a chunk follows one step behind the other; the frames differ by rounding alone."""
    served = pipeline(cpu_batch=4)
    sizes = spy(served, monkeypatch)
    with serving(served, age_target_ns=1000) as end:  # a period that any chunk exceeds
        end.open(0)
        viewer = LaneClient(far_end=end, lane=0, chunks=CHUNKS, updates=EVENTS)
        run_clients(viewer)
    assert max(sizes) > 1
    assert_close(viewer.generated, alone(events=EVENTS))


def test_a_chunk_of_another_shape_waits_for_its_elder(monkeypatch: pytest.MonkeyPatch) -> None:
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
    with serving(served, in_slots=2, age_target_ns=1000) as end:
        end.open(0)
        viewer = LaneClient(far_end=end, lane=0, chunks=CHUNKS, updates=events, slots=2)
        run_clients(viewer)
    assert max(sizes) > 1
    assert list(viewer.generated) == list(range(CHUNKS))
    assert_close(viewer.generated, alone(events=events))


def test_streams_that_share_passes_make_the_same_frames(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three viewers with prompts and seeds of their own; to within rounding."""
    wishes: list[dict[str, Any]] = [{}, {"prompt": "a dog", "seed": 4}, {"prompt": "a fish"}]
    served = pipeline(cpu_batch=8)
    sizes = spy(served, monkeypatch)
    with serving(served) as end:
        for lane, wish in enumerate(wishes):
            end.open(lane, **wish)
        viewers = [
            LaneClient(far_end=end, lane=lane, chunks=CHUNKS, seed=lane) for lane in range(3)
        ]
        run_clients(*viewers)
    assert max(sizes) > 1
    for lane, wish in enumerate(wishes):
        assert_close(viewers[lane].generated, alone(Parameters(**wish), seed=lane))


def test_two_viewers_never_see_each_other() -> None:
    """In passes of their own each gets, bit for bit, what it gets alone."""
    with serving(pipeline()) as end:
        end.open(0)
        end.open(1, prompt="a dog", seed=9)
        one = LaneClient(far_end=end, lane=0, chunks=CHUNKS, updates=EVENTS)
        two = LaneClient(far_end=end, lane=1, chunks=CHUNKS, seed=3)
        run_clients(one, two)
    assert_equal(one.generated, alone(events=EVENTS))
    assert_equal(two.generated, alone(Parameters(prompt="a dog", seed=9), seed=3))


def test_streams_that_come_and_go_disturb_nobody() -> None:
    """Opened, fed and cut off in mid-chunk, over and over, beside one that runs."""
    with serving(pipeline()) as end:
        end.open(0)
        viewer = LaneClient(far_end=end, lane=0, chunks=CHUNKS)
        viewer.send_chunk()
        lives = 0

        def live() -> None:
            first = end.chunk(1, 0, ahead_ns=NEVER_NS)
            end.send(OpenStream(lane=1, parameters=Parameters(seed=lives)), first)

        live()
        while not viewer.is_done:
            message = end.receive()
            if message.lane == 0:  # type: ignore[union-attr]  # of those that come here
                viewer.handle(message)
            elif isinstance(message, SlotFree):
                end.send(end.chunk(1, 1, ahead_ns=NEVER_NS), CloseStream(lane=1))
            elif isinstance(message, StreamClosed):
                lives += 1
                live()
            else:
                assert isinstance(message, StreamOpened | ChunkOut)
    assert lives > 5
    assert_equal(viewer.generated, alone())


def test_a_flood_of_chunks_ends_its_own_stream() -> None:
    """Chunks without a slot for them pile up to a bound; the other stream has all its frames."""
    with serving(pipeline()) as end:
        end.open(0)
        end.open(1)
        viewer = LaneClient(far_end=end, lane=0, chunks=12)
        end.send(*(end.chunk(1, number) for number in range(400)))
        others = run_clients(viewer)
        while not any(isinstance(message, Failed) for message in others):
            others.append(end.receive())
    failed = [message for message in others if isinstance(message, Failed)]
    assert [message.lane for message in failed] == [1]
    assert "wait for a chunk to begin" in failed[0].reason
    assert_equal(viewer.generated, alone(chunks=range(12)))


def until(end: FarEnd, kind: type[ToServer], viewer: LaneClient | None = None) -> list[ToServer]:
    """All that is said until a message of `kind` on lane 1."""
    heard: list[ToServer] = []
    while not heard or not isinstance(heard[-1], kind):
        message = end.receive()
        if viewer is not None and message.lane == 0:  # type: ignore[union-attr]  # as above
            viewer.handle(message)
        else:
            heard.append(message)
    return heard


def test_what_nobody_takes_is_dropped_before_it_is_made() -> None:
    """A viewer who takes nothing loses the chunk that waits; then it goes on as if that one had
    never been sent, and nobody else has noticed."""
    with serving(pipeline(), age_target_ns=200_000_000) as end:
        end.open(0)
        end.open(1)
        viewer = LaneClient(far_end=end, lane=0, chunks=CHUNKS)
        viewer.send_chunk()
        slots: dict[int, int] = {}
        made: dict[int, I420] = {}
        for number in (0, 1, 2):
            frames = moving_chunk(number, seed=6)
            end.arena.input(1, 0)[: len(frames)] = frames
            end.send(end.chunk(1, number, ahead_ns=NEVER_NS if number < 2 else 0))
            heard = until(end, SlotFree if number < 2 else ChunkDropped, viewer)
            for message in heard:
                if isinstance(message, ChunkOut):
                    slots[message.chunk] = message.slot
                    made[message.chunk] = end.arena.output(1, message.slot)[: message.frames].copy()
        assert heard[-1] == ChunkDropped(lane=1, slot=0, chunk=2)
        assert sorted(made) == [0, 1]
        frames = moving_chunk(3, seed=6)
        end.arena.input(1, 0)[: len(frames)] = frames
        end.send(SlotRead(lane=1, slot=slots[0]), end.chunk(1, 3, ahead_ns=NEVER_NS))
        for message in until(end, SlotFree, viewer):
            if isinstance(message, ChunkOut):
                made[message.chunk] = end.arena.output(1, message.slot)[: message.frames].copy()
        while not viewer.is_done:
            viewer.handle(end.receive())
    assert_equal(made, alone(chunks=(0, 1, 3), seed=6))
    assert_equal(viewer.generated, alone())


def test_a_flood_of_updates_is_refused_beyond_a_bound() -> None:
    """Updates behind a chunk that cannot begin wait for it, up to a number; each is answered."""
    with serving(pipeline()) as end:
        end.open(1)
        for number in (0, 1):
            end.send(end.chunk(1, number))
            until(end, SlotFree)
        end.send(end.chunk(1, 2))
        end.send(*(Update(lane=1, parameters=Parameters(seed=n, rev=n)) for n in range(100)))
        refused = until(end, UpdateRefused)[-1]
        assert isinstance(refused, UpdateRefused)
        assert refused.rev == 64
        assert refused.reason.startswith("64 messages wait for a chunk to begin")


OUT_OF_MEMORY = (
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB\nmore"),
    RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
    MemoryError(),
)


@pytest.mark.parametrize("error", OUT_OF_MEMORY, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("where", ["fresh_state", "condition", "apply"])
def test_no_memory_is_a_refusal(
    monkeypatch: pytest.MonkeyPatch, error: Exception, where: str
) -> None:
    """Running out of it anywhere while a stream opens is said, with when to ask again. It takes no
    lane and leaves no tensor, the stream beside it has its very frames, the next is let in."""
    served = pipeline(lanes=2)
    owner = {
        "fresh_state": served.bundle.codec,
        "condition": served.bundle.model,
        "apply": DiffusionStream,
    }[where]

    def refuse(*_: object) -> None:
        raise error

    with serving(served) as end:
        end.open(0)
        viewer = LaneClient(far_end=end, lane=0, chunks=6)
        run_clients(viewer)
        viewer.chunks = 12
        alive = 0
        with monkeypatch.context() as patch:
            patch.setattr(owner, where, refuse)
            for _ in range(5):
                end.send(OpenStream(lane=1, parameters=Parameters()))
                refused = end.receive()
                while isinstance(refused, SlotFree):
                    refused = end.receive()
                assert isinstance(refused, StreamRefused)
                assert refused.reason.startswith("no memory for another stream: ")
                assert refused.reason.endswith("; wait until a viewer leaves")
                assert refused.retry_after_s > 0
                error.__traceback__ = None
                alive = alive or tensors()  # a lane keeps its memory once it has been lent
        assert tensors() <= alive
        end.open(1)
        other = LaneClient(far_end=end, lane=1, chunks=6, seed=3)
        run_clients(viewer, other)
    assert_equal(viewer.generated, alone(chunks=range(12)))
    assert_equal(other.generated, alone(chunks=range(6), seed=3))


def tensors() -> int:
    gc.collect()
    return sum(issubclass(type(thing), torch.Tensor) for thing in gc.get_objects())


@pytest.mark.slow
def test_four_thousand_chunks_leave_nothing_behind() -> None:
    """Two streams that share passes, change prompts and steps: tensors and memory stay flat."""
    served = pipeline(cpu_batch=4)
    events = [Parameters(prompt="a dog"), Parameters(denoising_step_list=(700, 500, 400))]
    events += [Parameters(prompt="a cat", denoising_step_list=(700,)), Parameters(seed=3)]
    updates = {number: events[number // 25 % 4] for number in range(25, 2000, 25)}

    with serving(served) as end:
        end.open(0)
        end.open(1, prompt="a fish")
        viewers = [LaneClient(far_end=end, lane=n, chunks=2000, updates=updates) for n in (0, 1)]
        for viewer in viewers:
            viewer.send_chunk()
        made = 0
        while made < 4000:
            message = end.receive()
            if isinstance(message, ChunkOut):
                made += 1
                if made == 500:
                    alive, kib = tensors(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            if not isinstance(message, Applied):
                viewers[message.lane].handle(message)  # type: ignore[union-attr]  # as above
                viewers[message.lane].generated.clear()  # type: ignore[union-attr]  # as above
        assert tensors() < alive + 100  # those of a chunk or two that are under way
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - kib < 8 * 1024

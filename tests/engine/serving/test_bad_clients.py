"""What one client does wrong costs the others nothing: their frames are the same, in order."""

import gc
import resource
import tracemalloc
from dataclasses import replace
from random import Random

import msgspec
import numpy as np
import pytest
import torch
from slipstream_engine.scheduling.capacity import Capacity
from slipstream_engine.weights.factory import load_diffusion
from slipstream_engine.weights.request import ModelRequest
from slipstream_protocol.arena import Layout
from slipstream_protocol.messages import (
    Applied,
    ChunkOut,
    OpenStream,
    SlotFree,
    SlotRead,
    StreamRefused,
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


def test_more_steps_than_the_model_has_are_refused() -> None:
    """at the opening and later, with the value and the rule; the stream goes on as it was, and the
    one beside it has the same frames. Forty do not even come so far: the channel and the server's
    own parsing of a page's messages take four at most."""
    with pytest.raises(msgspec.ValidationError, match="length <= 4"):
        msgspec.convert({"denoising_step_list": list(range(990, 190, -20))}, Parameters)
    too_many = Parameters(denoising_step_list=(700, 500, 400, 200), rev=7)
    preset = replace(PRESET, schedule=replace(PRESET.schedule, step_list=(700, 500, 400)))
    reason = "denoising_step_list has 4 steps, the most is 3; name fewer timesteps"
    with serving(pipeline(preset=preset)) as harness:
        harness.open(0)
        harness.open(1, seed=3)
        harness.send(OpenStream(lane=2, parameters=too_many))
        assert harness.receive() == StreamRefused(lane=2, reason=reason, retry_after_s=0)
        clients = [
            LaneClient(harness=harness, lane=0, chunks=12),
            LaneClient(harness=harness, lane=1, chunks=12, updates={6: too_many}, seed=3),
        ]
        run_clients(*clients)
    assert clients[1].other_messages == [UpdateRefused(lane=1, rev=7, reason=reason)]
    assert_equal(clients[0].generated, alone(chunks=range(12)))
    assert_equal(clients[1].generated, alone(Parameters(seed=3), chunks=range(12), seed=3))


def test_a_flood_of_updates_costs_its_sender_only() -> None:
    """thousands of prompts, seeds and steps, each answered once in its order; the stream beside it
    has the same frames, in order."""
    rng = Random(5)
    revs: list[int] = []
    with serving(pipeline()) as harness:
        harness.open(0)
        harness.open(1)
        client = LaneClient(harness=harness, lane=0, chunks=CHUNKS, updates=EVENTS)
        client.send_chunks()
        for burst in range(30):
            for number in range(100 * burst, 100 * burst + 100):
                choice = Parameters(
                    prompt=f"prompt {rng.randrange(9)}",
                    seed=number,
                    noise_scale=0.5 + 0.01 * rng.randrange(20),
                    denoising_step_list=(700, 500, 400, 200)[: rng.randint(1, 4)],
                    rev=number,
                )
                harness.send(Update(lane=1, parameters=choice))
            while len(revs) < 100 * burst + 100:
                message = harness.receive()
                if isinstance(message, Applied) and message.lane == 1:
                    revs.append(message.rev)
                else:
                    client.handle(message)
        while not client.is_done:
            client.handle(harness.receive())
    assert revs == list(range(3000))
    assert list(client.generated) == list(range(CHUNKS))
    assert_equal(client.generated, alone(events=EVENTS))


def test_switching_between_sequential_and_stream_batch_costs_no_frame(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """whether the device is full is decided anew for each pass; however often that turns, every
    chunk comes, in order, with its numbers, through 1 to 4 steps, prompts and resets."""
    full = Random(1)
    decided: list[bool] = []

    def is_full(*_: object) -> bool:
        decided.append((len(decided) // 23) % 2 == 0 or full.random() < 0.3)
        return decided[-1]

    monkeypatch.setattr(Capacity, "is_saturated", is_full)
    served = pipeline(cpu_batch=4)
    sizes = spy(served, monkeypatch)
    with serving(served, in_slots=2, age_target_ns=1000) as harness:
        harness.open(0)
        client = LaneClient(harness=harness, lane=0, chunks=3 * CHUNKS, updates=EVENTS, slots=2)
        run_clients(client)
    assert {True, False} == set(decided)
    assert sizes.count(1) > 10 and len(sizes) - sizes.count(1) > 10
    assert list(client.generated) == list(range(3 * CHUNKS))
    assert_close(client.generated, alone(events=EVENTS, chunks=range(3 * CHUNKS)))


def test_memory_is_flat() -> None:
    """a hundred chunks of the embedded model through the loop: the last sixty leave no more
    tensors, Python objects or pages behind than the first forty did."""
    served = load_diffusion(ModelRequest(size_px=(64, 48), max_streams=1, threads=1))
    layout = Layout(geometry=served.geometry, lanes=1, in_slots=1, out_slots=2)
    harness = LoopHarness(served, layout)
    harness.receive()
    harness.open(0)
    sizes: list[tuple[int, int, int]] = []
    rng = np.random.default_rng(0)

    def send_chunk(number: int) -> None:
        frames = served.geometry.frames_of(number)
        shape = (frames, *served.geometry.frame_shape)
        harness.arena.input(0, 0)[:frames] = rng.integers(0, 255, shape, dtype=np.uint8)
        if number % 10 == 5:
            words = ("neon", "pencil sketch", "watercolor")[number // 10 % 3]
            harness.send(Update(lane=0, parameters=Parameters(prompt=words, seed=number)))
        harness.send(harness.chunk(0, number, ahead_ns=NEVER_NS))

    tracemalloc.start()
    try:
        finished = 0
        send_chunk(0)
        while finished < 100:
            match message := harness.receive():
                case SlotFree():
                    send_chunk(finished)
                case ChunkOut(slot=slot):
                    finished += 1
                    harness.send(SlotRead(lane=0, slot=slot))
                    if finished in (40, 100):
                        gc.collect()
                        alive = sum(issubclass(type(o), torch.Tensor) for o in gc.get_objects())
                        held, _ = tracemalloc.get_traced_memory()
                        pages = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
                        sizes.append((alive, held, pages))
                case _:
                    assert isinstance(message, Applied), message
    finally:
        tracemalloc.stop()
        harness.close()
        served.close()
    (alive, held, pages), (alive_later, held_later, pages_later) = sizes
    assert alive_later <= alive + 20, "of the chunk that is under way"
    assert held_later - held < 300 << 10
    assert pages_later - pages < 4800

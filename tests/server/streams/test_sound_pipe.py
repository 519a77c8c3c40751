"""Lips fit, with every delay of camera, microphone and engine scripted: no machine moves them."""

import asyncio
import math
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
import pytest
from slipstream_protocol.clock import NS_PER_MS, NS_PER_S, now_ns
from slipstream_protocol.messages import StageTimes
from slipstream_server.frames.chunker import CapturedFrame
from slipstream_server.frames.playout import ChunkStamps, GeneratedFrame, Playout, ScheduledFrame
from slipstream_server.receive.sound_times import ReceivedSound
from slipstream_server.sound.delay_line import DueSound
from slipstream_server.streams.sound_pipe import SoundPipe

from tests.server.scripted_clock import run_scripted

SKEW_MS = 45.0
SECONDS = 60
CHUNK_FRAMES = 4
PACKET_NS = 20 * NS_PER_MS
PACKET_TICKS = 960
NETWORK_MS = (30, 5)  # of pictures, which are decoded as well, and of sound
SENDER_BEGAN_UNIX_NS = 1_700_000_000 * NS_PER_S
FRAME = np.zeros((3, 2), np.uint8)
STAMPS = ChunkStamps(
    chunked_ns=0, submitted_ns=0, taken_ns=0, generated_ns=0, received_ns=0, stages=StageTimes()
)


@dataclass
class Shown:
    """What a receiver is told of: which picture, and which packet, is due when."""

    pictures: list[ScheduledFrame] = field(default_factory=list)
    sounds: list[DueSound] = field(default_factory=list)

    def push(self, due: DueSound) -> None:
        self.sounds.append(due)

    def skews_ms(self) -> list[float]:
        """For each picture, how much later the sound of its moment is due."""
        captured_ns = [due.sound.captured_ns for due in self.sounds]
        delays_ns = [due.due_ns - due.sound.captured_ns for due in self.sounds]
        return [
            float(np.interp(shown_ns, captured_ns, delays_ns) - (picture.play_ns - shown_ns))
            / NS_PER_MS
            for picture in self.pictures
            if (shown_ns := picture.generated.stands_for_ns) >= captured_ns[0]
        ]


@dataclass
class Load:
    """A camera's rate, and how long the engine takes for each chunk, in ms."""

    fps: int
    chunks_ms: Callable[[random.Random], Iterator[float]]


def quiet(_: random.Random) -> Iterator[float]:
    while True:
        yield 60.0


def loaded(rng: random.Random) -> Iterator[float]:
    """Half of them take 70 ms or less, one in twenty more than 200."""
    while True:
        yield 70 * rng.lognormvariate(0, 0.65)


def stalled(rng: random.Random) -> Iterator[float]:
    """Nothing comes for 400 ms, every five seconds or so."""
    while True:
        yield 400.0 if rng.random() < 1 / 38 else rng.uniform(50, 80)


def slow(rng: random.Random) -> Iterator[float]:
    """As a small machine: nearly all the time that there is, and now and then more."""
    while True:
        yield rng.uniform(300, 480) + 150 * (rng.random() < 0.05)


def slower(_: random.Random) -> Iterator[float]:
    """Twice as slow from the twentieth second on, as where another stream begins."""
    for _chunk in range(150):
        yield 60.0
    while True:
        yield 130.0


async def played(load: Load, seed: int) -> Shown:
    """What comes out of a minute of sound and pictures."""
    pipe, shown, playout = SoundPipe(), Shown(), Playout(chunk_frames=CHUNK_FRAMES)
    pipe.sinks.append(shown)
    began_ns = now_ns()
    chunks_ms = load.chunks_ms(random.Random(seed))
    is_pushed = asyncio.Event()

    async def until(at_ns: int) -> None:
        await asyncio.sleep(max(0, at_ns - now_ns()) / NS_PER_S)

    async def speak() -> None:
        for number in range(SECONDS * 50):
            captured_ns = began_ns + number * PACKET_NS
            await until(captured_ns + NETWORK_MS[1] * NS_PER_MS)
            pipe.push(
                ReceivedSound(
                    payload=b"opus",
                    source=1,
                    timestamp=number * PACKET_TICKS,
                    arrived_ns=now_ns(),
                    captured_unix_ns=SENDER_BEGAN_UNIX_NS + captured_ns - began_ns,
                )
            )

    async def film() -> None:
        free_ns, chunk = began_ns, 0
        frames: list[CapturedFrame] = []
        for number in range(SECONDS * load.fps):
            captured_ns = began_ns + number * NS_PER_S // load.fps
            await until(captured_ns + NETWORK_MS[0] * NS_PER_MS)
            frame = CapturedFrame(
                frame=FRAME,
                captured_ns=captured_ns + NETWORK_MS[0] * NS_PER_MS,  # as far as we can know
                arrived_ns=now_ns(),
                captured_unix_ns=SENDER_BEGAN_UNIX_NS + captured_ns - began_ns,
            )
            pipe.on_captured(frame)
            frames = [*frames, frame][-CHUNK_FRAMES:]
            if len(frames) == CHUNK_FRAMES and free_ns <= now_ns():
                free_ns = now_ns() + round(next(chunks_ms) * NS_PER_MS)
                group.create_task(generate(frames, chunk, free_ns))
                frames, chunk = [], chunk + 1

    async def generate(frames: list[CapturedFrame], chunk: int, done_ns: int) -> None:
        await until(done_ns)
        playout.push(
            [
                GeneratedFrame(
                    frame=FRAME,
                    captured_ns=one.captured_ns,
                    arrived_ns=one.arrived_ns,
                    chunk=chunk,
                    index=index,
                    rev=0,
                    stamps=STAMPS,
                )
                for index, one in enumerate(frames)
            ],
            now_ns(),
        )
        is_pushed.set()

    async def show() -> None:
        while True:
            while (picture := playout.pop(now_ns())) is not None:
                pipe.on_sent(picture, now_ns())
                shown.pictures.append(picture)
            is_pushed.clear()
            due_ns = playout.due_ns()
            try:
                async with asyncio.timeout(
                    None if due_ns is None else max(0.0, (due_ns - now_ns()) / NS_PER_S)
                ):
                    await is_pushed.wait()
            except TimeoutError:
                continue

    async with asyncio.TaskGroup() as group:
        outputs = [group.create_task(show()), group.create_task(pipe.run())]
        inputs = [group.create_task(speak()), group.create_task(film())]
        await asyncio.gather(*inputs)
        for task in outputs:
            task.cancel()
    return shown


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    "load",
    [
        Load(30, quiet),
        Load(30, loaded),
        Load(30, stalled),
        Load(30, slower),
        Load(10, slow),
    ],
    ids=lambda load: load.chunks_ms.__name__,
)
def test_lips_fit_under_any_load(load: Load, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """for 95 pictures of 100, the sound of the same moment is due within 45 ms of them; where
    pictures come evenly, to the millisecond."""
    shown = run_scripted(played(load, seed), monkeypatch)
    amounts_ms = sorted(map(abs, shown.skews_ms()))
    assert len(shown.sounds) > 0.95 * SECONDS * 50 and len(amounts_ms) > 0.5 * SECONDS * load.fps
    assert amounts_ms[math.ceil(0.95 * len(amounts_ms)) - 1] <= (
        1 if load.chunks_ms is quiet else SKEW_MS
    )

"""The chunker: newest frames, even motion, every drop counted; slow cameras are not waited for."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from slipstream_protocol.clock import NS_PER_S
from slipstream_server.frames.chunker import (
    FILL_WAIT_NS,
    MAX_WAITING_FRAMES,
    CapturedFrame,
    Chunker,
)

from tests.server.stamped import GEOMETRY, captured_frame, ms


def times_ms(chunk: tuple[CapturedFrame, ...] | None) -> list[float]:
    assert chunk is not None
    return [frame.captured_ns / 1e6 for frame in chunk]


def test_the_first_chunk_is_longer() -> None:
    """a causal codec starts with one frame more; nothing is handed over before it is there."""
    chunker = Chunker(GEOMETRY)
    for n in range(5):
        assert chunker.take(ms(n * 30)) is None
        chunker.push(captured_frame(n * 30))
    assert times_ms(chunker.take(ms(120))) == [0, 30, 60, 90, 120]
    assert chunker.take(ms(120)) is None


def test_an_engine_that_keeps_up_gets_every_frame() -> None:
    """taken as soon as a chunk is there, nothing is dropped."""
    chunker = Chunker(GEOMETRY)
    taken = []
    for n in range(5 + 4 * 50):
        chunker.push(captured_frame(n * 30))
        taken += times_ms(chunk) if (chunk := chunker.take(ms(n * 30))) else []
    assert taken == [n * 30 for n in range(205)]
    assert sum(chunker.drops.values()) == 0


def test_a_slow_engine_gets_even_motion_up_to_the_newest() -> None:
    """at half the camera's rate every second frame is taken, and the newest is among them."""
    chunker = Chunker(GEOMETRY)
    for n in range(5):
        chunker.push(captured_frame(n * 30))
    chunker.take(ms(120))
    for n in range(5, 13):
        chunker.push(captured_frame(n * 30))
    assert times_ms(chunker.take(ms(360))) == [180, 240, 300, 360]
    assert chunker.drops["skipped"] == 4


def test_what_waits_too_long_is_dropped() -> None:
    """after a stall of the engine a chunk spans a second at most."""
    chunker = Chunker(GEOMETRY)
    for n in range(90):
        chunker.push(captured_frame(n * 1000 / 30))
    chunk = times_ms(chunker.take(ms(89 * 1000 / 30)))
    assert chunk[-1] == pytest.approx(89 * 1000 / 30)
    assert chunk[-1] - chunk[0] <= 1000
    assert chunker.drops["stale"] == 59


def test_frames_from_before_a_pause_of_the_camera_do_not_come_back() -> None:
    """a chunk is never half from before a gap and half from after it."""
    chunker = Chunker(GEOMETRY)
    for n in range(3):
        chunker.push(captured_frame(n * 30))
    for n in range(5):
        chunker.push(captured_frame(5000 + n * 30))
    assert times_ms(chunker.take(ms(5120)))[0] == 5000


def test_flushed_frames_are_counted() -> None:
    """a paused stream drops frames under a name of their own."""
    chunker = Chunker(GEOMETRY)
    for n in range(3):
        chunker.push(captured_frame(n * 30))
    chunker.flush()
    assert chunker.drops["flushed"] == 3


def test_what_is_no_picture_is_refused() -> None:
    """it is named with the rule."""
    frame = np.zeros((4, 6), np.uint8)
    with pytest.raises(ValueError, match=r"frame is uint8 \(4, 6\), it must be uint8, I420"):
        Chunker(GEOMETRY).push(CapturedFrame(frame=frame, captured_ns=0, arrived_ns=0))


@given(
    st.lists(st.tuples(st.floats(0.1, 300), st.booleans()), max_size=300),
    st.integers(50, 3000),
)
def test_every_frame_is_taken_dropped_or_waiting(
    steps: list[tuple[float, bool]], span_ms: int
) -> None:
    """no frame is lost without a cause, none is handed over twice but in one chunk, time only goes
    forward, and what waits is bounded in number and span."""
    chunker = Chunker(GEOMETRY, max_span_ns=ms(span_ms))
    now_ms = 0.0
    pushed = 0
    taken: list[float] = []
    for step_ms, takes in steps:
        now_ms += step_ms
        chunker.push(captured_frame(now_ms))
        pushed += 1
        if takes and (chunk := chunker.take(ms(now_ms))):
            times = times_ms(chunk)
            assert times[-1] - times[0] <= span_ms + 1e-3
            assert times[-1] == pytest.approx(now_ms)
            taken += [time for time, _ in itertools.groupby(times)]
    assert taken == sorted(set(taken))
    waiting = pushed - len(taken) - sum(chunker.drops.values())
    assert 0 <= waiting <= MAX_WAITING_FRAMES
    chunker.flush()
    assert pushed == len(taken) + sum(chunker.drops.values())


def test_memory_is_bounded_for_a_camera_without_time() -> None:
    """frames that all claim the same capture time cannot pile up."""
    chunker = Chunker(GEOMETRY, max_span_ns=NS_PER_S)
    for _ in range(10 * MAX_WAITING_FRAMES):
        chunker.push(captured_frame(0))
    assert chunker.drops["stale"] == 9 * MAX_WAITING_FRAMES


# ---- slow, irregular and silent cameras

Taken = list[tuple[int, tuple[CapturedFrame, ...]]]  # when, and what


def driven(arrivals_ns: list[int], until_ns: int, *, asked_every_ns: int | None = None) -> Taken:
    """The chunks of an engine that always has a free slot, under a scripted clock.

    Args:
        asked_every_ns: ask for a chunk so often too, and not only when one can be due.
    """
    chunker = Chunker(GEOMETRY)
    taken: Taken = []
    waiting = list(arrivals_ns)
    now_ns = 0
    while now_ns <= until_ns:
        while waiting and waiting[0] <= now_ns:
            chunker.push(captured_frame(waiting.pop(0) / 1e6))
            while (chunk := chunker.take(now_ns)) is not None:
                taken.append((now_ns, chunk))
        while (chunk := chunker.take(now_ns)) is not None:
            taken.append((now_ns, chunk))
        due_ns = chunker.due_ns()
        moments = [*waiting[:1], until_ns + 1]
        moments += [due_ns] if due_ns is not None else []
        moments += [now_ns + asked_every_ns] if asked_every_ns else []
        assert min(moments) > now_ns, "what is due is given"
        now_ns = min(moments)
    return taken


def described(taken: Taken) -> list[tuple[int, list[tuple[int, int]]]]:
    """The same without pixels."""
    return [
        (at, [(one.captured_ns, one.repeated_after_ns) for one in chunk]) for at, chunk in taken
    ]


def at_rate(rate_hz: float, frames: int) -> list[int]:
    return [round(n * NS_PER_S / rate_hz) for n in range(frames)]


irregular = st.lists(st.integers(ms(1), ms(4000)), min_size=1, max_size=25).map(
    lambda steps: list(itertools.accumulate(steps))
)
steady = st.floats(0.3, 240).map(lambda rate_hz: at_rate(rate_hz, 25))


@given(irregular | steady)
def test_no_camera_is_waited_for_longer_than_half_a_second(arrivals_ns: list[int]) -> None:
    """whatever its rate, and however uneven: every frame is in a chunk within that, in its order,
    none is left out, and something is always shown within two seconds."""
    taken = driven(arrivals_ns, arrivals_ns[-1] + 9 * NS_PER_S)
    first_taken_ns: dict[int, int] = {}
    for at_ns, chunk in taken:
        for frame in chunk:
            first_taken_ns.setdefault(frame.captured_ns, at_ns)
    assert list(first_taken_ns) == arrivals_ns
    assert all(at - came <= FILL_WAIT_NS for came, at in first_taken_ns.items())
    moments = [at_ns for at_ns, _ in taken]
    assert all(b - a <= 2 * NS_PER_S for a, b in itertools.pairwise(moments))
    sizes = [len(chunk) for _, chunk in taken]
    assert sizes == [GEOMETRY.frames_of(number) for number in range(len(sizes))]


@settings(max_examples=40)
@given(irregular | steady, st.integers(ms(50), ms(700)))
def test_asking_more_often_changes_nothing(arrivals_ns: list[int], every_ns: int) -> None:
    """in pieces is as all at once: a chunk depends on what came, not on how often it was asked."""
    until_ns = arrivals_ns[-1] + 5 * NS_PER_S
    often = driven(arrivals_ns, until_ns, asked_every_ns=every_ns)
    assert described(often) == described(driven(arrivals_ns, until_ns))


@pytest.mark.parametrize("rate_hz", [0.3, 1, 2, 3.5])
def test_a_slide_is_not_waited_for_at_all(rate_hz: float) -> None:
    """once its pace is known each frame goes on as it comes, repeated to fill the chunk."""
    arrivals_ns = at_rate(rate_hz, 12)
    new = [
        (at, chunk)
        for at, chunk in driven(arrivals_ns, arrivals_ns[-1])
        if not chunk[0].repeated_after_ns
    ]
    assert [at for at, _ in new[2:]] == [chunk[-1].captured_ns for _, chunk in new[2:]]
    assert all(chunk[0] is chunk[-1] for _, chunk in new[2:])


def test_a_source_that_falls_to_one_frame_a_second() -> None:
    """what is left of the fast part goes on within half a second, the rest at its own pace."""
    fast = at_rate(30, 63)
    slow = [fast[-1] + n * NS_PER_S for n in range(1, 6)]
    taken = driven(fast + slow, slow[-1])
    assert [at for at, _ in taken[-5:]] == slow
    rest_ns, rest = taken[-6]
    assert rest_ns <= fast[-1] + FILL_WAIT_NS and rest[-1].captured_ns == fast[-1]


def test_frames_of_a_short_chunk_are_spread_evenly() -> None:
    """two frames fill four places two and two, so that motion stays even."""
    chunker = Chunker(GEOMETRY)
    chunker.push(captured_frame(0))
    assert len(set(times_ms(chunker.take(FILL_WAIT_NS)))) == 1
    for at_ms in (600, 700):
        chunker.push(captured_frame(at_ms))
    assert times_ms(chunker.take(ms(1100))) == [600, 600, 700, 700]
    assert chunker.drops["skipped"] == 0


def test_a_silent_camera_has_its_last_frame_repeated() -> None:
    """again and again, with its own time and how long ago it came: not passed off as new."""
    taken = driven([0], ms(4500))
    assert [at for at, _ in taken] == [ms(500), ms(1750), ms(3000), ms(4250)]
    assert all(frame.captured_ns == 0 for _, chunk in taken for frame in chunk)
    assert [chunk[0].repeated_after_ns for _, chunk in taken] == [0, ms(1750), ms(3000), ms(4250)]
    assert taken[1][1][0].stands_for_ns == ms(1750)


def test_nothing_from_before_a_pause_is_repeated_after_it() -> None:
    """but a new engine gets the last frame of a camera that stands still."""
    chunker = Chunker(GEOMETRY)
    chunker.push(captured_frame(0))
    assert chunker.take(FILL_WAIT_NS)
    chunker.restart()
    repeated = chunker.take(ms(3000))
    assert repeated is not None and len(repeated) == GEOMETRY.first_chunk_frames
    chunker.flush()
    assert chunker.due_ns() is None and chunker.take(ms(9000)) is None


@given(
    st.floats(8, 120),
    st.floats(1, 120),
    st.lists(st.floats(-0.2, 0.2), min_size=200, max_size=200),
)
def test_a_level_of_fewer_frames_leaves_them_out_evenly(
    max_fps: float, camera_fps: float, jitter: list[float]
) -> None:
    """never more than the level has, and as many as the camera sends where those are fewer; every
    frame is taken or counted."""
    chunker = Chunker(GEOMETRY)
    chunker.max_fps = max_fps
    taken: list[CapturedFrame] = []
    for number, share in enumerate(jitter):
        at_ms = 10_000 + (number + share) * 1000 / camera_fps
        chunker.push(captured_frame(at_ms))
        taken.extend(chunker.take(ms(at_ms)) or ())
    kept = len(jitter) - chunker.drops["level"]
    seconds = len(jitter) / camera_fps
    # one at the beginning, one turn that was waited for, and a quarter of a turn ahead
    assert kept <= seconds * max_fps + 2.25
    assert kept >= min(len(jitter), seconds * max_fps * 0.9) - 2 or camera_fps < 2 * max_fps
    if camera_fps < 0.6 * max_fps:
        assert chunker.drops["level"] == 0


def test_a_clock_that_goes_back_does_not_stop_a_level_of_fewer_frames() -> None:
    chunker = Chunker(GEOMETRY)
    chunker.max_fps = 10
    for at_ms in (90_000, 90_100, 1_000, 1_100, 1_200):
        chunker.push(captured_frame(at_ms))
    assert chunker.drops["level"] == 0


def test_a_picture_of_another_size_begins_a_first_chunk() -> None:
    """a chunk has one size: what waits of the one before is counted, and no picture of it is
    repeated."""
    chunker = Chunker(GEOMETRY)
    for n in range(7):
        chunker.push(captured_frame(n * 30))
        if n == 4:
            assert len(chunker.take(ms(120)) or ()) == 5
    tall = np.zeros((6, 2), np.uint8)
    for n in range(7, 12):
        assert chunker.take(ms(n * 30)) is None
        chunker.push(replace(captured_frame(n * 30), frame=tall))
    chunk = chunker.take(ms(330))
    assert times_ms(chunk) == [210, 240, 270, 300, 330]
    assert chunker.drops["resized"] == 2
    for n in range(12, 16):
        chunker.push(replace(captured_frame(n * 30), frame=tall))
    assert len(chunker.take(ms(450)) or ()) == 4

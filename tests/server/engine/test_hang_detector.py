"""engine/hang_detector.py: an engine that hangs is told from one that works, under a
clock of the test's own.
"""

from hypothesis import given
from hypothesis import strategies as st
from slipstream_protocol.clock import NS_PER_MS, NS_PER_S
from slipstream_protocol.frames import FrameSize
from slipstream_protocol.messages import (
    ChunkDropped,
    ChunkIn,
    ChunkOut,
    CloseStream,
    Failed,
    OpenStream,
    SlotFree,
    StageTimes,
    StreamClosed,
    StreamOpened,
    Update,
)
from slipstream_protocol.parameters import Parameters
from slipstream_server.engine.hang_detector import MIN_DEADLINE_NS, HangDetector

SIZE = FrameSize(8, 4)


def ms(milliseconds: float) -> int:
    return round(milliseconds * NS_PER_MS)


def chunk_in(chunk: int, lane: int = 0) -> ChunkIn:
    return ChunkIn(
        lane=lane, slot=0, chunk=chunk, frames=4, captured_ns=0, submitted_ns=0, size=SIZE
    )


def chunk_out(chunk: int, lane: int = 0) -> ChunkOut:
    return ChunkOut(
        lane=lane,
        slot=0,
        chunk=chunk,
        frames=4,
        rev=-1,
        taken_ns=0,
        made_ns=0,
        stages=StageTimes(encode_ms=0, denoise_ms=0, decode_ms=0),
        size=SIZE,
    )


def serving(
    *, chunk_ms: float = 0, chunks: int = 0, took_ms: float = 100
) -> tuple[HangDetector, int]:
    """A detector after some chunks, and the time."""
    detector, now_ns = HangDetector(chunk_ms=chunk_ms, now_ns=0), 0
    for chunk in range(chunks):
        detector.sent(chunk_in(chunk), now_ns)
        now_ns += ms(took_ms)
        detector.received(chunk_out(chunk), now_ns)
    return detector, now_ns


def test_an_idle_engine_may_be_silent_for_ever() -> None:
    """where nothing is due nothing is missed; what needs no answer counts for nothing."""
    detector, now_ns = serving(chunks=5)
    detector.sent(Update(lane=0, parameters=Parameters(seed=1)), now_ns)
    assert detector.verdict(now_ns + 3600 * NS_PER_S) is None


def test_a_chunk_that_does_not_come_is_noticed_after_two_seconds() -> None:
    """not sooner, and counted from when it was asked for."""
    detector, now_ns = serving(chunks=5)
    now_ns += 100 * NS_PER_S
    detector.sent(chunk_in(5), now_ns)
    assert detector.verdict(now_ns + MIN_DEADLINE_NS) is None
    assert detector.verdict(now_ns + MIN_DEADLINE_NS + ms(100)) == (
        "the engine hangs: 1 answers are due and it has sent nothing for 2.1 s, 2.0 s are allowed"
    )


def test_a_slow_engine_has_three_times_what_its_chunks_take() -> None:
    """by the median of what it did, and by its own measurement where that is more."""
    assert serving(chunks=9, took_ms=1000)[0].deadline_ns == 3 * NS_PER_S
    assert serving(chunks=9, took_ms=100, chunk_ms=4000)[0].deadline_ns == 12 * NS_PER_S
    assert serving(chunk_ms=100)[0].deadline_ns == MIN_DEADLINE_NS
    detector, now_ns = serving(chunks=9, took_ms=100)
    detector.sent(chunk_in(9), now_ns)
    detector.received(chunk_out(9), now_ns + 60 * NS_PER_S)
    assert detector.deadline_ns == MIN_DEADLINE_NS, "one slow chunk is no reason for patience"


def test_any_message_is_a_sign_of_life() -> None:
    """a chunk may wait for long behind others, as long as these come out."""
    detector, now_ns = serving(chunks=3)
    detector.sent(chunk_in(0, lane=1), now_ns)
    for chunk in range(3, 20):
        detector.sent(chunk_in(chunk), now_ns + ms(1600))
        now_ns += ms(1900)
        assert detector.verdict(now_ns) is None
        detector.received(chunk_out(chunk), now_ns)
    assert detector.verdict(now_ns + ms(1900)) is None
    detector.received(SlotFree(lane=0, slot=0), now_ns + ms(1900))
    assert detector.verdict(now_ns + ms(3800)) is None
    assert detector.verdict(now_ns + ms(4000)) is not None


def test_every_kind_of_answer_counts_as_one() -> None:
    """a drop, a refusal to go on, a stream's end: no answer is waited for in vain."""
    later_ns = 3600 * NS_PER_S
    for request, answer in (
        (OpenStream(lane=0, parameters=Parameters()), StreamOpened(lane=0)),
        (chunk_in(0), ChunkDropped(lane=0, slot=0, chunk=0)),
        (chunk_in(0), Failed(lane=0, reason="broke")),
        (chunk_in(0), StreamClosed(lane=0)),
        (CloseStream(lane=0), StreamClosed(lane=0)),
    ):
        detector, now_ns = serving()
        detector.sent(request, now_ns)
        assert detector.verdict(later_ns) is not None
        detector.received(answer, now_ns)
        assert detector.verdict(later_ns) is None, answer
    detector, now_ns = serving()
    detector.sent(chunk_in(0, lane=1), now_ns)
    detector.sent(CloseStream(lane=0), now_ns)
    detector.received(Failed(lane=0, reason="broke"), now_ns)
    detector.received(StreamClosed(lane=0), now_ns)
    assert detector.verdict(later_ns) is not None, "another lane's chunk is still due"


def test_a_gap_of_the_server_itself_is_not_counted() -> None:
    """after it was suspended the silence is counted from now on."""
    detector, now_ns = serving(chunks=3)
    detector.sent(chunk_in(3), now_ns)
    now_ns += 60 * NS_PER_S
    detector.ignore_gap(now_ns)
    assert detector.verdict(now_ns + ms(1900)) is None
    assert detector.verdict(now_ns + ms(2100)) is not None


@given(st.lists(st.floats(1, 20_000), min_size=1, max_size=60), st.floats(0, 5000))
def test_a_steady_engine_is_never_taken_for_dead(took_ms: list[float], chunk_ms: float) -> None:
    """whatever its chunks take, as long as none takes three times the median of those before."""
    detector, now_ns = HangDetector(chunk_ms=chunk_ms, now_ns=0), 0
    for chunk, took in enumerate(took_ms):
        detector.sent(chunk_in(chunk), now_ns)
        allowed_ns = detector.deadline_ns
        now_ns += min(ms(took), int(allowed_ns))
        assert detector.verdict(now_ns) is None
        detector.received(chunk_out(chunk), now_ns)

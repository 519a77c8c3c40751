"""The jitter buffer: whole frames, in order, at once, and never for ever."""

import random
from collections.abc import Iterable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from slipstream_protocol.clock import NS_PER_MS, NS_PER_S
from slipstream_server.receive.frame_search import Packet
from slipstream_server.receive.jitter_buffer import JitterBuffer, JitterOutcome

from tests.server.packets import frame_number, packets_of, padding

PACKET_NS = 2 * NS_PER_MS


def feed(
    buffer: JitterBuffer, packets: Iterable[Packet], *, start_ns: int = 0, step_ns: int = PACKET_NS
) -> list[tuple[int, JitterOutcome]]:
    """Packets one after the other, `step_ns` apart: the time and the outcome of each."""
    outcomes = []
    for index, packet in enumerate(packets):
        at_ns = start_ns + index * step_ns
        outcomes.append((at_ns, buffer.add(packet, at_ns)))
    return outcomes


def numbers(outcomes: Iterable[tuple[int, JitterOutcome]]) -> list[int]:
    return [frame_number(frame) for _, outcome in outcomes for frame in outcome.frames]


def without(packets: list[Packet], *lost: int) -> list[Packet]:
    return [packet for index, packet in enumerate(packets) if index not in lost]


def test_a_frame_comes_out_with_its_last_packet() -> None:
    """the marker ends a frame: nothing waits for the next one."""
    outcomes = feed(JitterBuffer(), packets_of(4))
    assert [len(outcome.frames) for _, outcome in outcomes] == [0, 0, 1] * 4
    assert numbers(outcomes) == [0, 1, 2, 3]
    assert not any(outcome.pli or outcome.nack for _, outcome in outcomes)


def test_what_came_before_the_first_packet_is_requested() -> None:
    """some senders make no other key frame for seconds: theirs, sent before this side could take
    it, is sent once more, and nothing behind it is lost."""
    packets = packets_of(6, first=100, keys=frozenset({0}))
    buffer = JitterBuffer(wants_beginning=True)
    (at_ns, begun), *_ = feed(buffer, packets[4:])
    assert begun.nack[-4:] == (100, 101, 102, 103) and len(begun.nack) == 128
    again = feed(buffer, packets[:4], start_ns=at_ns + 20 * NS_PER_MS)
    assert numbers(again) == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize("first", [0, 65_500])
def test_requests_for_the_beginning_end(first: int) -> None:
    """where it was never sent, and only a packet that begins a key frame needs none before it."""
    buffer = JitterBuffer(wants_beginning=True)
    feed(buffer, packets_of(2, first=first, keys=frozenset()))
    for _ in range(2000):
        due_ns = buffer.nacks.due_ns()
        if due_ns is None:
            break
        buffer.poll(due_ns)
    assert buffer.nacks.due_ns() is None
    for whole in (JitterBuffer(wants_beginning=True), JitterBuffer()):
        assert not any(outcome.nack for _, outcome in feed(whole, packets_of(2, first=first)))


def test_without_markers_the_next_timestamp_ends_a_frame() -> None:
    """a sender that sets none is served one frame later, as aiortc serves all."""
    outcomes = feed(JitterBuffer(), packets_of(4, markers=False))
    assert [len(outcome.frames) for _, outcome in outcomes] == [0, 0, 0] + [1, 0, 0] * 3


def test_a_marker_that_ends_nothing_is_not_believed_twice() -> None:
    """a sender that marks every packet tears its first frame and no other."""
    packets = packets_of(5)
    outcomes = feed(JitterBuffer(), [replace(packet, marker=True) for packet in packets])
    frames = [frame for _, outcome in outcomes for frame in outcome.frames]
    assert [frame_number(frame) for frame in frames[2:]] == [1, 2, 3]


def test_padding_belongs_to_no_frame() -> None:
    """empty packets behind a frame neither hold up the next one nor come out."""
    packets = packets_of(1)
    packets += [padding(packets[-1], 3), padding(packets[-1], 4)]
    packets += packets_of(2, first=5, first_frame=1)
    outcomes = feed(JitterBuffer(), packets)
    assert numbers(outcomes) == [0, 1, 2]
    assert [len(outcome.frames) for _, outcome in outcomes] == [0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 1]


def test_a_lost_packet_is_requested_at_once_and_again_a_bounded_number_of_times() -> None:
    """requests are a round trip apart, and stop."""
    buffer = JitterBuffer()
    requests = []
    for at_ns, outcome in feed(buffer, without(packets_of(2), 4)):
        requests += [at_ns for _ in outcome.nack]
    now_ns = requests[0]
    while (due_ns := buffer.nacks.due_ns()) is not None:
        assert due_ns > now_ns
        now_ns = due_ns
        assert buffer.poll(now_ns).nack == (4,)
        requests.append(now_ns)
    assert len(requests) == 5
    assert requests[1] - requests[0] >= 20 * NS_PER_MS


def test_a_repaired_frame_brings_all_that_waited_behind_it() -> None:
    """one packet fills the gap and every whole frame comes out at once, in order."""
    packets = packets_of(6)
    buffer = JitterBuffer()
    assert numbers(feed(buffer, without(packets, 4))) == [0]
    outcome = buffer.add(packets[4], 20 * PACKET_NS)
    assert [frame_number(frame) for frame in outcome.frames] == [1, 2, 3, 4, 5]
    assert buffer.due_ns() is None


def test_the_wait_for_a_gap_ends_with_a_request_for_a_key_frame() -> None:
    """80 ms after the loss, not before; then every half second."""
    buffer = JitterBuffer(gap_wait_ns=80 * NS_PER_MS)
    outcomes = feed(buffer, without(packets_of(60), 4), step_ns=10 * NS_PER_MS)
    lost_ns = 40 * NS_PER_MS  # when packet 5 shows that 4 is missing
    plis = [at_ns for at_ns, outcome in outcomes if outcome.pli]
    assert plis[0] - lost_ns >= 80 * NS_PER_MS
    assert plis[0] - lost_ns <= 150 * NS_PER_MS
    assert plis[1] - plis[0] == 500 * NS_PER_MS
    assert numbers(outcomes) == [0]


def test_the_timer_requests_where_no_packet_does() -> None:
    """`due_ns` leads to the request for a key frame though nothing more comes."""
    buffer = JitterBuffer()
    feed(buffer, without(packets_of(3), 4))
    polls = 0
    while (due_ns := buffer.due_ns()) is not None and not buffer.poll(due_ns).pli:
        polls += 1
    assert due_ns is not None and polls < 10


def test_a_key_frame_ends_the_wait() -> None:
    """frames behind a gap that is never filled are given up for the next key frame."""
    buffer = JitterBuffer()
    packets = packets_of(40, keys=frozenset({0, 30}))
    outcomes = feed(buffer, without(packets, 4), step_ns=10 * NS_PER_MS)
    assert numbers(outcomes) == [0, *range(30, 40)]
    assert buffer.drops["skipped"] == 29 * 3 - 1


def test_a_key_frame_on_its_way_is_not_requested_again() -> None:
    """a large key frame may take a second to come in."""
    buffer = JitterBuffer()
    outcomes = feed(buffer, packets_of(1, packets=60), step_ns=20 * NS_PER_MS)
    assert not any(outcome.pli for _, outcome in outcomes)
    assert numbers(outcomes) == [0]


def test_a_late_packet_before_a_key_frame_is_used() -> None:
    """the lost packet, late but before a key frame, brings everything back."""
    buffer = JitterBuffer()
    packets = packets_of(20)
    outcomes = feed(buffer, without(packets, 4), step_ns=10 * NS_PER_MS)
    assert any(outcome.pli for _, outcome in outcomes)
    late = buffer.add(packets[4], NS_PER_S)
    assert [frame_number(frame) for frame in late.frames] == list(range(1, 20))


def test_joining_in_the_middle_requests_for_a_key_frame_at_once() -> None:
    """what builds on frames that never came is not for the decoder."""
    buffer = JitterBuffer()
    outcomes = feed(buffer, packets_of(3, first_frame=7, keys=frozenset()))
    assert outcomes[0][1].pli
    assert numbers(outcomes) == []


def test_a_sender_without_key_frames_is_taken_as_it_is() -> None:
    """after three seconds of requests any whole frame will do."""
    buffer = JitterBuffer()
    packets = packets_of(60, first_frame=7, keys=frozenset())
    released = numbers(feed(buffer, packets, step_ns=30 * NS_PER_MS))
    assert released == list(range(released[0], 67))
    assert released[0] in (39, 40)  # the newest by then


def test_a_new_beginning_needs_two_packets() -> None:
    """one packet from far away is ignored; a second behind it starts the stream anew."""
    buffer = JitterBuffer()
    feed(buffer, packets_of(2))
    foreign = packets_of(2, first=30_000, first_frame=500, keys=frozenset({500}))
    assert buffer.add(foreign[3], NS_PER_S) == JitterOutcome()
    assert numbers(feed(buffer, packets_of(1, first=6, first_frame=2), start_ns=NS_PER_S)) == [2]
    assert numbers(feed(buffer, foreign, start_ns=2 * NS_PER_S)) == [500, 501]


def test_a_decoder_that_fell_behind_goes_on_with_a_key_frame() -> None:
    """after `require_key_frame` frames that build on the lost one stay out."""
    buffer = JitterBuffer()
    packets = packets_of(8, keys=frozenset({0, 5}))
    assert numbers(feed(buffer, packets[:6])) == [0, 1]
    buffer.require_key_frame()
    outcomes = feed(buffer, packets[6:], start_ns=NS_PER_S)
    assert numbers(outcomes) == [5, 6, 7]
    assert any(outcome.pli for _, outcome in outcomes)


def test_a_capacity_of_nothing_is_refused() -> None:
    """the message says what is wrong."""
    with pytest.raises(ValueError, match="capacity_packets is 1, it must be at least 2"):
        JitterBuffer(capacity_packets=1)


@given(
    first=st.integers(0, 65535),
    sizes=st.integers(1, 5),
    markers=st.booleans(),
    seed=st.integers(0, 2**16),
    spread=st.integers(0, 12),
)
def test_any_order_gives_what_order_gives(
    first: int, sizes: int, markers: bool, seed: int, spread: int
) -> None:
    """packets swapped over up to `spread` places: the same frames in the same order."""
    packets = packets_of(30, packets=sizes, first=first, markers=markers)
    swapped = [packets[0], *shuffled(packets[1:], spread, random.Random(seed))]
    ordered = numbers(feed(JitterBuffer(), packets))
    assert numbers(feed(JitterBuffer(), swapped)) == ordered
    assert ordered == list(range(30 if markers else 29))


def shuffled(packets: list[Packet], spread: int, dice: random.Random) -> list[Packet]:
    """Each packet up to `spread` places from its own."""
    keyed = [(index + dice.uniform(0, spread), packet) for index, packet in enumerate(packets)]
    return [packet for _, packet in sorted(keyed, key=lambda pair: pair[0])]


@given(
    first=st.integers(0, 65535),
    seed=st.integers(0, 2**16),
    loss=st.sampled_from((0.01, 0.1, 0.5)),
    repeat=st.sampled_from((0.0, 0.2)),
    spread=st.integers(0, 30),
    sizes=st.integers(1, 6),
    markers=st.booleans(),
    capacity=st.sampled_from((16, 64, 1024)),
    key_every=st.sampled_from((5, 20, 1000)),
)
def test_whatever_the_link_does(
    first: int,
    seed: int,
    loss: float,
    repeat: float,
    spread: int,
    sizes: int,
    markers: bool,
    capacity: int,
    key_every: int,
) -> None:
    """loss, repeats, disorder: frames in order, none torn, each decodable, memory bounded."""
    dice = random.Random(seed)
    keys = frozenset(range(0, 80, key_every))
    packets = packets_of(80, packets=sizes, first=first, keys=keys, markers=markers)
    sent = [one for one in packets if dice.random() >= loss]
    sent += [one for one in sent if dice.random() < repeat]
    sent = shuffled(sorted(sent, key=packets.index), spread, dice)
    buffer = JitterBuffer(capacity_packets=capacity)
    released: list[int] = []
    for index, packet in enumerate(sent):
        outcome = buffer.add(packet, index * 10 * NS_PER_MS)
        released += [frame_number(frame) for frame in outcome.frames]
        used = sizes * len(released) + sum(buffer.drops.values())
        assert index + 1 - used <= capacity
        assert len(buffer.nacks) <= 256
        assert len(set(outcome.nack)) == len(outcome.nack)
    assert released == sorted(set(released))
    if len(sent) * 10 * NS_PER_MS < 3 * NS_PER_S:  # before any whole frame will do
        for before, after in zip([-1, *released], released, strict=False):
            assert after == before + 1 or after in keys


@given(seed=st.integers(0, 2**16), loss=st.sampled_from((0.02, 0.2)), late=st.integers(0, 40))
def test_a_link_that_answers_loses_nothing(seed: int, loss: float, late: int) -> None:
    """requested packets come `late` ms after the request: every frame comes out."""
    dice = random.Random(seed)
    packets = packets_of(60)
    buffer = JitterBuffer()
    answers: list[tuple[int, int]] = []
    released = []
    for index, packet in enumerate(packets):
        now_ns = index * PACKET_NS
        for due in [answer for answer in answers if answer[0] <= now_ns]:
            answers.remove(due)
            outcome = buffer.add(packets[due[1]], now_ns)
            released += [frame_number(frame) for frame in outcome.frames]
            assert not outcome.pli
        if index and dice.random() < loss:
            continue
        outcome = buffer.add(packet, now_ns)
        released += [frame_number(frame) for frame in outcome.frames]
        answers += [(now_ns + late * NS_PER_MS, lost) for lost in outcome.nack]
    for at_ns, lost in sorted(answers):
        released += [frame_number(frame) for frame in buffer.add(packets[lost], at_ns).frames]
    assert released == list(range(len(released)))
    assert len(released) >= 55

"""What goes out is what came in, in order, as old as the pictures are."""

from collections.abc import Iterator
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st
from slipstream_protocol.clock import NS_PER_MS
from slipstream_server.sound.delay_line import (
    APART_NS,
    LEAD_NS,
    SOUND_HZ,
    DelayLine,
    DueSound,
    TimedSound,
)

TICKS = SOUND_HZ // 50  # a packet of 20 ms
PACKET_NS = 20 * NS_PER_MS
AGE_NS = 300 * NS_PER_MS


def sound_at(number: int, *, late_ns: int = 0) -> TimedSound:
    return TimedSound(
        payload=number.to_bytes(4, "big"),
        pts=number * TICKS,
        captured_ns=number * PACKET_NS + late_ns,
    )


def popped(line: DelayLine, now_ns: int) -> Iterator[DueSound]:
    while (due := line.pop(now_ns)) is not None:
        yield due


def played(line: DelayLine, until_ns: int) -> list[DueSound]:
    """What leaves, each at its very time."""
    out: list[DueSound] = []
    while (leaves_ns := line.leaves_ns()) is not None and leaves_ns <= until_ns:
        out.extend(popped(line, leaves_ns))
    return out


@given(
    order=st.permutations(range(12)),
    missing=st.sets(st.integers(0, 11)),
    age_ms=st.integers(0, 5000),
)
def test_what_goes_out_is_what_came_in(order: list[int], missing: set[int], age_ms: int) -> None:
    """in the order of its times, whatever the order that it came in, each due an age after its
    capture and gone `LEAD_NS` before."""
    line = DelayLine()
    sounds = [sound_at(number) for number in order if number not in missing]
    for sound in sounds:
        line.push(sound)
    line.fit(age_ms * NS_PER_MS)
    out = played(line, 60 * 1000 * NS_PER_MS)
    assert [due.sound for due in out] == sorted(sounds, key=lambda one: one.pts)
    assert all(due.due_ns == due.sound.captured_ns + age_ms * NS_PER_MS for due in out)
    assert line.leaves_ns() is None and len(line) == 0


@given(
    gaps=st.lists(st.integers(1, 40), min_size=2, max_size=60),
    ages_ms=st.lists(st.integers(0, 3000), min_size=60, max_size=60),
    late_ms=st.lists(st.integers(-50, 50), min_size=60, max_size=60),
)
def test_the_delay_moves_slowly(gaps: list[int], ages_ms: list[int], late_ms: list[int]) -> None:
    """whatever the age and the sender's clock do: the way from one packet to the next is its own
    length, give or take a quarter, and more only where the packet would be too far from its
    picture; after a silence a packet is due by the age that there is."""
    line = DelayLine()
    number, out, ages = 0, [], []
    for gap, age_ms, late in zip(gaps, ages_ms, late_ms, strict=False):
        number += gap
        line.fit(age_ms * NS_PER_MS)
        line.push(sound_at(number, late_ns=late * NS_PER_MS))
        out += played(line, 1 << 62)
        ages.append(age_ms * NS_PER_MS)
    assert [due.sound.payload for due in out] == [
        sound_at(sum(gaps[: index + 1])).payload for index in range(len(out))
    ]
    for (before, after), age_ns in zip(pairwise(out), ages[1:], strict=True):
        own_ns = (after.sound.pts - before.sound.pts) // TICKS * PACKET_NS
        if own_ns <= 120 * NS_PER_MS:
            apart_ns = abs(after.due_ns - after.sound.captured_ns - age_ns)
            is_slow = abs(after.due_ns - before.due_ns - own_ns) <= own_ns / 4 + 1
            assert after.due_ns == before.due_ns or apart_ns <= APART_NS
            assert is_slow or apart_ns == APART_NS or after.due_ns == before.due_ns
        else:
            assert after.due_ns == max(before.due_ns, after.sound.captured_ns + age_ns)


def test_it_comes_to_a_new_age() -> None:
    """where pictures become 300 ms older: at once to what is not noticed, then little by little."""
    line = DelayLine()
    line.fit(AGE_NS)
    out = []
    for number in range(100):
        if number == 10:
            line.fit(2 * AGE_NS)
        line.push(sound_at(number))
        out += played(line, 1 << 62)
    delays = [due.due_ns - due.sound.captured_ns for due in out]
    assert delays[9] == AGE_NS and delays[-1] == 2 * AGE_NS
    assert delays[10] == 2 * AGE_NS - APART_NS
    assert delays.index(2 * AGE_NS) == 10 + APART_NS * 4 // PACKET_NS


def test_nothing_is_heard_before_a_picture() -> None:
    """and once there is one, what belongs to pictures long gone is not sent in a burst."""
    line = DelayLine()
    for number in range(50):
        line.push(sound_at(number))
    assert line.leaves_ns() is None and line.pop(1 << 62) is None
    line.fit(AGE_NS)
    now_ns = AGE_NS + 49 * PACKET_NS
    out = list(popped(line, now_ns))
    assert [due.sound for due in out] == [sound_at(number) for number in range(41, 50)]
    assert line.drops == {"overdue": 41}


def test_queues_are_bounded_and_drops_are_counted() -> None:
    """the oldest go first, by number and by bytes; what comes again or too late is not sent."""
    line = DelayLine(max_packets=4)
    for number in (0, 1, 2, 3, 3, 5):
        line.push(sound_at(number))
    assert line.drops == {"repeated": 1, "overflow": 1}
    line.fit(0)
    assert [due.sound for due in played(line, 1 << 62)] == [sound_at(n) for n in (1, 2, 3, 5)]
    line.push(sound_at(4))
    assert line.drops["late"] == 1 and len(line) == 0
    by_bytes = DelayLine(max_bytes=8)
    for number in range(3):
        by_bytes.push(sound_at(number))
    assert (len(by_bytes), by_bytes.drops) == (2, {"overflow": 1})


def test_the_lead_is_kept() -> None:
    line = DelayLine()
    line.fit(AGE_NS)
    line.push(sound_at(1))
    assert line.leaves_ns() == PACKET_NS + AGE_NS - LEAD_NS
    assert line.pop(PACKET_NS + AGE_NS - LEAD_NS - 1) is None
    due = line.pop(PACKET_NS + AGE_NS - LEAD_NS)
    assert due is not None and due.due_ns == PACKET_NS + AGE_NS

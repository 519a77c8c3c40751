"""Reports of arrival: what goes in can be read out by the draft's layout."""

import random
import struct

from hypothesis import given
from hypothesis import strategies as st
from slipstream_server.receive.transport_feedback import TransportFeedback

MS = 1_000_000


def read(fci: bytes) -> tuple[int, int, dict[int, int]]:
    """A report by the letter of the draft: first packet, how many, 250 us ticks of those come."""
    base, count = struct.unpack_from("!HH", fci)
    tick = int.from_bytes(fci[4:7], "big") * 256
    at = 8
    symbols: list[int] = []
    while len(symbols) < count:
        (chunk,) = struct.unpack_from("!H", fci, at)
        at += 2
        if not chunk & 0x8000:
            symbols += [chunk >> 13 & 3] * (chunk & 0x1FFF)
        elif chunk & 0x4000:
            symbols += [chunk >> shift & 3 for shift in range(12, -1, -2)]
        else:
            symbols += [chunk >> shift & 1 for shift in range(13, -1, -1)]
    ticks = {}
    for index, symbol in enumerate(symbols[:count]):
        if symbol == 1:
            tick += fci[at]
            at += 1
        elif symbol == 2:
            tick += struct.unpack_from("!h", fci, at)[0]
            at += 2
        if symbol:
            ticks[(base + index) % 65536] = tick
    assert len(fci) % 4 == 0 and 0 <= len(fci) - at < 4
    return base, count, ticks


def test_nothing_new_is_no_report() -> None:
    """silence is not reported, nor is the same packet twice."""
    arrivals = TransportFeedback()
    assert arrivals.report() is None
    arrivals.add(7, 0)
    assert arrivals.report() is not None
    arrivals.add(7, MS)
    assert arrivals.report() is None


def test_a_late_packet_is_reported_after_all() -> None:
    """a report reaches back to it and repeats what lies between."""
    arrivals = TransportFeedback()
    arrivals.add(1, 0)
    arrivals.add(3, 2 * MS)
    assert read(arrivals.report() or b"") == (1, 3, {1: 0, 3: 8})
    arrivals.add(2, 5 * MS)
    arrivals.add(4, 6 * MS)
    assert read(arrivals.report() or b"") == (2, 3, {2: 20, 3: 8, 4: 24})


def test_reports_are_numbered() -> None:
    """the count tells the sender of a lost report."""
    arrivals = TransportFeedback()
    counts = []
    for sequence in range(258):
        arrivals.add(sequence, sequence * MS)
        counts.append((arrivals.report() or b"")[7])
    assert counts == [*range(256), 0, 1]


@given(
    first=st.integers(0, 65535),
    seed=st.integers(0, 2**16),
    loss=st.sampled_from((0.0, 0.05, 0.6)),
    gap_ms=st.sampled_from((0.1, 3.0, 90.0)),
    per_report=st.integers(1, 20),
)
def test_every_packet_is_reported_as_it_came(
    first: int, seed: int, loss: float, gap_ms: float, per_report: int
) -> None:
    """over all reports: exactly those that came, at their times, up to 250 us; bounded in size."""
    dice = random.Random(seed)
    arrivals = TransportFeedback()
    came: dict[int, int] = {}
    reported: dict[int, int] = {}
    now_ns = 64 * MS * dice.randrange(1000)
    for index in range(300):
        now_ns += int(dice.uniform(0, 2 * gap_ms) * MS)
        sequence = (first + index) % 65536
        if dice.random() >= loss:
            arrivals.add(sequence, now_ns)
            came[sequence] = now_ns // 250_000
        if index % per_report == 0 or index == 299:
            fci = arrivals.report()
            if fci is not None:
                _, count, ticks = read(fci)
                assert count <= 512
                reported.update(ticks)
    reference = 256 * (1 << 24)
    assert reported == {sequence: tick % reference for sequence, tick in came.items()}

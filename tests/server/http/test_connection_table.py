"""http/connection_table.py: who gets a place, who keeps it, and for how long."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from slipstream_protocol.clock import NS_PER_S
from slipstream_server.http.connection_table import DEADLINES_S, ConnectionTable, Phase, Place


def take_all(table: ConnectionTable, client: str, *, is_proxy: bool = False) -> list[Place]:
    """As many places as one address gets."""
    taken: list[Place] = []
    while (place := table.admit(client, 0, is_proxy=is_proxy).place) is not None:
        taken.append(place)
        assert len(taken) <= 1000, "there is no bound"
    return taken


@given(st.integers(8, 400), st.integers(1, 30), st.booleans())
def test_whatever_others_take_an_address_that_has_none_gets_one(
    capacity: int, greedy: int, is_proxy: bool
) -> None:
    """as long as those who take all they can are fewer than the places that are kept."""
    table = ConnectionTable(capacity)
    held = [len(take_all(table, f"greedy {n}", is_proxy=is_proxy)) for n in range(greedy)]
    assert sum(held) <= capacity
    if greedy <= capacity // 4 // 8:
        assert table.admit("another", 0).place is not None


def test_one_address_gets_a_quarter_and_a_proxy_three() -> None:
    assert len(take_all(ConnectionTable(400), "a")) == 100
    assert len(take_all(ConnectionTable(400), "::1", is_proxy=True)) == 300


def test_the_longest_idle_connection_gives_way() -> None:
    """of the same address where that has its share, and of any where all places are taken."""
    table = ConnectionTable(40)
    places = take_all(table, "a")
    table.enter(places[3], Phase.IDLE, 5)
    table.enter(places[2], Phase.IDLE, 4)
    given = table.admit("a", 6)
    assert given.place is not None
    assert given.evicted is places[2]
    assert not table.has(places[2])
    for number in range(100):
        table.admit(f"b{number}", 6)
    given = table.admit("c", 7)
    assert given.place is None
    assert (table.evicted, table.refused > 0) == (2, True)  # places[3] went to a newcomer


def test_a_place_is_given_back_once() -> None:
    table = ConnectionTable(8)
    place = table.admit("a", 0).place
    assert place is not None
    table.release(place)
    table.release(place)
    assert table.held_by("a") == 0
    assert len(take_all(table, "a")) == 8


@pytest.mark.parametrize("phase", Phase)
def test_a_connection_that_is_at_one_thing_for_too_long_expires(phase: Phase) -> None:
    table = ConnectionTable(8)
    place = table.admit("a", 0).place
    assert place is not None
    table.enter(place, phase, NS_PER_S)
    last = round((DEADLINES_S[phase] + 1) * NS_PER_S)
    assert table.expired(last) == []
    assert table.expired(last + 1) == [place]
    assert table.counts() == {phase: 1}


def test_too_few_places_are_a_mistake() -> None:
    with pytest.raises(ValueError, match="capacity is 7, it must be at least 8"):
        ConnectionTable(7)


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["admit", "admit", "admit", "idle", "release"]),
        st.integers(0, 3),
        st.booleans(),
    ),
    max_size=120,
)


@given(st.integers(8, 40), STEPS)
def test_every_place_is_counted(capacity: int, steps: list[tuple[str, int, bool]]) -> None:
    """whatever comes and goes: who has which places, how many are taken, how many were refused or
    gave way; what gives way is idle, and nothing of the same address has been so for longer."""
    table, live = ConnectionTable(capacity), list[Place]()
    refused = evicted = 0
    for now_ns, (step, number, is_proxy) in enumerate(steps):
        if step == "admit":
            client = f"client {number}"
            given_place = table.admit(client, now_ns, is_proxy=is_proxy)
            gone = given_place.evicted
            if gone is not None:
                evicted += 1
                live.remove(gone)
                idle = [
                    one for one in live if one.phase is Phase.IDLE and one.client == gone.client
                ]
                assert gone.phase is Phase.IDLE
                assert all(gone.since_ns <= one.since_ns for one in idle)
            if given_place.place is None:
                refused += 1
            else:
                assert (given_place.place.client, given_place.place.since_ns) == (client, now_ns)
                live.append(given_place.place)
        elif live and step == "idle":
            table.enter(live[number % len(live)], Phase.IDLE, now_ns)
        elif live:
            table.release(live.pop(number % len(live)))
        held = Counter(one.client for one in live)
        assert {client: table.held_by(client) for client in held} == held
        assert all(map(table.has, live))
        assert max(held.values(), default=0) <= max(8, capacity - capacity // 4)
        assert len(live) <= capacity
    phases = Counter(one.phase for one in live)
    totals = table.totals()
    assert totals.open == {phase.value: phases[phase] for phase in Phase}
    assert (totals.places, totals.refused, totals.evicted) == (capacity, refused, evicted)


def test_the_last_quarter_is_for_those_who_have_few() -> None:
    """an address with eight gets none of it; one with seven does, and then it has eight."""
    table = ConnectionTable(40)
    for client in "abc":
        for _ in range(10):
            assert table.admit(client, 0).place is not None
    for _ in range(8):
        assert table.admit("d", 0).place is not None
    assert table.admit("d", 0).place is None
    assert table.admit("e", 0).place is not None

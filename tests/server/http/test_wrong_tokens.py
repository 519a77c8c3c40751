"""http/wrong_tokens.py: who has to wait after how many wrong tokens."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from slipstream_protocol.clock import NS_PER_S
from slipstream_server.http.wrong_tokens import (
    FORGET_S,
    FREE_TRIES,
    LONGEST_WAIT_S,
    WrongTokens,
)


def s(seconds: float) -> int:
    return round(seconds * NS_PER_S)


def test_the_first_are_free_and_then_each_doubles_the_wait() -> None:
    """up to a bound; a try that waited long enough may be made."""
    wrong, now = WrongTokens(), 0
    for _ in range(FREE_TRIES):
        assert wrong.wait_s("a", now) == 0
        wrong.count("a", now)
    waits = []
    for _ in range(9):
        waits.append(wrong.wait_s("a", now))
        now += s(waits[-1])
        assert wrong.wait_s("a", now) == 0
        wrong.count("a", now)
    assert waits == [1, 2, 4, 8, 16, 32, 60, 60, LONGEST_WAIT_S]


def test_a_client_is_forgotten_in_the_end() -> None:
    wrong = WrongTokens()
    for _ in range(FREE_TRIES):
        wrong.count("a", 0)
    assert wrong.wait_s("a", 0) > 0
    wrong.count("b", s(FORGET_S))
    assert len(wrong) == 1
    wrong.count("a", s(FORGET_S))
    assert wrong.wait_s("a", s(FORGET_S)) == 0


@given(st.lists(st.sampled_from("abcdef"), max_size=200), st.integers(1, 4))
def test_nobody_waits_for_what_others_did(clients: list[str], capacity: int) -> None:
    """whatever comes in which order, and the table never outgrows its bound."""
    wrong, counts = WrongTokens(capacity=capacity), dict.fromkeys("abcdef", 0)
    for now, client in enumerate(clients):
        wrong.count(client, now)
        counts[client] += 1
        assert len(wrong) <= capacity
    for client, count in counts.items():
        if count < FREE_TRIES:
            assert wrong.wait_s(client, len(clients)) == 0


def test_the_wait_passes_with_time() -> None:
    """what is left of it is told; half of it has to be waited for as well."""
    wrong = WrongTokens()
    for _ in range(FREE_TRIES + 2):
        wrong.count("a", s(100))
    assert [wrong.wait_s("a", s(at)) for at in (100, 101, 103.5, 104, 110)] == [4, 3, 0.5, 0, 0]


def test_of_too_many_the_one_that_was_wrong_the_longest_ago_is_forgotten() -> None:
    """those who go on guessing stay known, however many others come."""
    wrong = WrongTokens(capacity=2)
    for number in range(50):
        wrong.count("guesser", number)
        wrong.count(f"other {number}", number)
        assert len(wrong) == min(number + 2, 2)
    assert wrong.wait_s("guesser", 50) > 0


def test_a_late_clock_forgets_nobody_early() -> None:
    """each is forgotten by its own last try, whatever the clock began with."""
    wrong, began = WrongTokens(), s(10 * FORGET_S)
    for _ in range(FREE_TRIES):
        wrong.count("a", began)
    wrong.count("b", began + s(FORGET_S) - 1)
    assert len(wrong) == 2
    assert wrong.wait_s("a", began) == 1


def test_a_table_for_nobody_is_refused() -> None:
    with pytest.raises(ValueError, match="capacity is 0"):
        WrongTokens(capacity=0)

"""engine/backoff.py: how soon a child is started again."""

from slipstream_server.engine.backoff import HOPELESS_S, HOPELESS_TIMES, LONGEST_S, RestartBackoff


def test_the_pause_doubles_while_lives_are_short() -> None:
    """up to its most, as long as the reasons differ."""
    pauses = RestartBackoff()
    waits = [pauses.after(f"reason {n}", served_s=1, is_stillborn=True).wait_s for n in range(9)]
    assert waits == [0.5, 1, 2, 4, 8, 16, LONGEST_S, LONGEST_S, LONGEST_S]


def test_a_child_that_served_is_started_again_at_once() -> None:
    """a long life clears the account of the short ones."""
    pauses = RestartBackoff()
    for n in range(4):
        pauses.after(f"reason {n}", served_s=1, is_stillborn=True)
    assert pauses.after("it was killed", served_s=60, is_stillborn=False).wait_s == 0.5
    assert pauses.after("it was killed", served_s=1, is_stillborn=True).wait_s == 1


def test_the_same_failure_time_after_time_is_given_a_long_rest() -> None:
    """with a word on it; another reason, or a life that lasted, begins to count anew."""
    pauses = RestartBackoff()
    reason = "the engine did not start: OSError: no weights"
    for _ in range(HOPELESS_TIMES - 1):
        pause = pauses.after(reason, served_s=2, is_stillborn=True)
        assert pause.word == reason and pause.wait_s <= LONGEST_S
    pause = pauses.after(reason, served_s=2, is_stillborn=True)
    assert pause.wait_s == HOPELESS_S
    assert pause.word == (
        f"{reason} (5 times in a row for this reason, it is tried again in 300 s; set right what "
        "it says and start the server anew)"
    )
    assert "6 times" in pauses.after(reason, served_s=2, is_stillborn=True).word
    assert pauses.after("another", served_s=2, is_stillborn=True).wait_s <= LONGEST_S
    for _ in range(2 * HOPELESS_TIMES):
        pause = pauses.after("it was killed", served_s=1, is_stillborn=False)
        assert pause.wait_s <= LONGEST_S and pause.word == "it was killed"

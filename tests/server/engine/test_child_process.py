"""engine/child_process.py: how soon a child is started again."""

from slipstream_server.engine.child_process import (
    LONGEST_DELAY_S,
    SAME_FAILURE_DELAY_S,
    SAME_FAILURES_MAX,
    RestartBackoff,
)


def test_the_delay_doubles_while_runs_are_short() -> None:
    """up to the longest, as long as the reasons differ."""
    backoff = RestartBackoff()
    waits = [
        backoff.after(f"reason {n}", served_s=1, failed_to_start=True).wait_s for n in range(9)
    ]
    assert waits == [0.5, 1, 2, 4, 8, 16, LONGEST_DELAY_S, LONGEST_DELAY_S, LONGEST_DELAY_S]


def test_a_child_that_served_is_started_again_at_once() -> None:
    """a long run resets the delay."""
    backoff = RestartBackoff()
    for n in range(4):
        backoff.after(f"reason {n}", served_s=1, failed_to_start=True)
    assert backoff.after("it was killed", served_s=60, failed_to_start=False).wait_s == 0.5
    assert backoff.after("it was killed", served_s=1, failed_to_start=True).wait_s == 1


def test_the_same_failure_time_after_time_gets_a_long_delay() -> None:
    """with an explanation; another reason, or a run that served, resets the count."""
    backoff = RestartBackoff()
    reason = "the engine did not start: OSError: no weights"
    for _ in range(SAME_FAILURES_MAX - 1):
        delay = backoff.after(reason, served_s=2, failed_to_start=True)
        assert delay.explanation == reason and delay.wait_s <= LONGEST_DELAY_S
    delay = backoff.after(reason, served_s=2, failed_to_start=True)
    assert delay.wait_s == SAME_FAILURE_DELAY_S
    assert delay.explanation == (
        f"{reason} (5 times in a row for this reason, it is tried again in 300 s; set right what "
        "it says and start the server anew)"
    )
    assert "6 times" in backoff.after(reason, served_s=2, failed_to_start=True).explanation
    assert backoff.after("another", served_s=2, failed_to_start=True).wait_s <= LONGEST_DELAY_S
    for _ in range(2 * SAME_FAILURES_MAX):
        delay = backoff.after("it was killed", served_s=1, failed_to_start=False)
        assert delay.wait_s <= LONGEST_DELAY_S and delay.explanation == "it was killed"

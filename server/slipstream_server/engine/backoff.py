"""How long to wait before a child that has ended is started again. Pure."""

from dataclasses import dataclass

FIRST_S = 0.5
LONGEST_S = 30.0
STEADY_S = 10.0  # a child that has served this long is started again without delay
HOPELESS_TIMES = 5
HOPELESS_S = 300.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RestartDelay:
    """Before the next life.

    Args:
        word: why the last one ended, and where it matters what to make of that.
    """

    wait_s: float
    word: str


class RestartBackoff:
    """A pause that doubles while lives are short, and is long where a child never serves.

    One that ends before it serves, and for the same reason time after time, will not be better the
    next: somebody has to do something first.
    """

    def __init__(self) -> None:
        self._wait_s = FIRST_S
        self._reason = ""
        self._times = 0

    def after(self, reason: str, *, served_s: float, is_stillborn: bool) -> RestartDelay:
        """A life of `served_s` has ended, for `reason`; a stillborn one before it served."""
        is_steady = served_s > STEADY_S
        if not is_stillborn:
            self._times = 0
        else:
            self._times = self._times + 1 if reason == self._reason else 1
        self._reason = reason
        if self._times >= HOPELESS_TIMES:
            word = (
                f"{reason} ({self._times} times in a row for this reason, it is tried again in "
                f"{HOPELESS_S:.0f} s; set right what it says and start the server anew)"
            )
            return RestartDelay(wait_s=HOPELESS_S, word=word)
        wait_s = FIRST_S if is_steady else self._wait_s
        self._wait_s = min(2 * wait_s, LONGEST_S)
        return RestartDelay(wait_s=wait_s, word=reason)

"""Whether each call's first frame comes in time, also when it comes back to its stream. Pure."""

from slipstream_server.observability.error_budget import Tally


class FirstFrames:
    """Counts first frames; one that is overdue is bad already, and not counted again.

    Args:
        target_ns: how long one may take.
    """

    def __init__(self, target_ns: int) -> None:
        self._target_ns = target_ns
        self._began_ns: int | None = None  # of the call whose first frame is awaited
        self._counted = Tally()

    def begin(self, now_ns: int) -> None:
        """A call begins, or comes back: from now on its first frame is awaited."""
        self._settle(now_ns)
        self._began_ns = now_ns

    def on_sent(self, now_ns: int) -> None:
        """A frame goes out."""
        if self._began_ns is not None and not self._settle(now_ns):
            self._count(good=1)

    def give_up(self, now_ns: int) -> None:
        """The call has ended, or is paused: its first frame is not awaited any more."""
        self._settle(now_ns)
        self._began_ns = None

    def take(self, now_ns: int) -> Tally:
        """What was counted since the last call."""
        self._settle(now_ns)
        taken, self._counted = self._counted, Tally()
        return taken

    def _settle(self, now_ns: int) -> bool:
        """Count the frame that is awaited if it is overdue; returns whether it was."""
        if self._began_ns is None or now_ns - self._began_ns <= self._target_ns:
            return False
        self._count(bad=1)
        return True

    def _count(self, *, good: int = 0, bad: int = 0) -> None:
        self._counted += Tally(good=good, bad=bad)
        self._began_ns = None

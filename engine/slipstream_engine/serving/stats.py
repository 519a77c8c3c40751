"""What the loop's time went into."""

from dataclasses import dataclass


@dataclass(slots=True, kw_only=True)
class LoopStats:
    """Counts while passes run; time without work is in none.

    Args:
        computed_ns: in passes, by the clock.
        within_ns: in passes, of the loop's own thread.
        overhead_ns: of the loop's own thread beside them: choosing passes, speaking of them, noting
            what they took. Its own time, for what a busy machine does in between is not ours.
    """

    computed_ns: int = 0
    within_ns: int = 0
    overhead_ns: int = 0

    @property
    def share(self) -> float:
        """The overhead as a share of the computation."""
        return self.overhead_ns / max(self.computed_ns, 1)

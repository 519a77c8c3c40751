"""Where the loop's time goes."""

from dataclasses import dataclass


@dataclass(slots=True, kw_only=True)
class LoopStats:
    """Sums over all rounds of the loop in which a pass was run; of a group of ranks, over all.

    Args:
        passes_ns: wall time of the passes.
        pass_cpu_ns: CPU time of the loop's thread within them.
        overhead_ns: CPU time of the loop's thread outside them: choosing passes, sending messages,
            observing durations. CPU time, because a busy machine's other work is not overhead.
    """

    passes_ns: int = 0
    pass_cpu_ns: int = 0
    overhead_ns: int = 0

    @property
    def overhead_share(self) -> float:
        """The overhead as a share of the passes' wall time."""
        return self.overhead_ns / max(self.passes_ns, 1)

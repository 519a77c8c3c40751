"""The numbers of the adaptive sinks' rule, as a kernel takes them. Pure."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class SinkRule:
    """See `CacheParams`.

    Args:
        sinks: slots at the front that are compared with each new frame.
        threshold: likeness below which a sink is replaced.
        pinned_slots, ring_slots: slots before the ring, and of the ring.
        count_unwritten: let a sink slot that was never written score 0.
    """

    sinks: int
    threshold: float
    pinned_slots: int
    ring_slots: int
    count_unwritten: bool

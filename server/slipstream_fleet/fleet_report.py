"""A fleet at one moment, as the gate tells it. Pure."""

import msgspec


class NodeEntry(msgspec.Struct, frozen=True, kw_only=True):
    """A node as `slipstream fleet status` shows it.

    Args:
        state: ready, starting, down, stopped, stopping, or away: it does not answer.
        detail: why it is not ready, for people.
        streams, held, viewers: that it has.
        free: streams more that it takes.
        seen_s: since its last report was asked for; null if there is none.
    """

    node: str
    host: str
    url: str
    state: str
    detail: str
    version: str
    model: str
    streams: int
    held: int
    viewers: int
    free: int
    seen_s: float | None


class FleetReport(msgspec.Struct, frozen=True, kw_only=True):
    """The fleet at one moment.

    Args:
        waiting: callers in the line.
        versions: of all nodes; more than one is a rolling update, or a mistake.
        lost_total: how often a node was lost since the gate began.
    """

    nodes: tuple[NodeEntry, ...]
    streams: int
    free: int
    waiting: int
    versions: tuple[str, ...]
    lost_total: int

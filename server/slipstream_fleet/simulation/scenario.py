"""The days that are simulated, and the calls that come in them. Pure.

Calls come as a Poisson process whose rate follows the hour, and last as a lognormal distribution
says: most are short, some are very long.
"""

import math
import random
from dataclasses import dataclass

_DAY_S = 86_400.0
_PEAK_HOUR = 20.0


@dataclass(frozen=True, slots=True)
class SimulatedCall:
    """A caller.

    Args:
        at_s: when it comes.
        length_s: for how long it wants a stream.
    """

    at_s: float
    length_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetScenario:
    """What comes, and what nodes are like.

    Args:
        days: that are simulated, from midnight on.
        peak_streams: at once on the average, at eight in the evening, if nobody had to wait.
        quiet_share: of that rate, which is left at eight in the morning.
        median_s, sigma: of the lengths of calls, and of their logarithm.
        places: streams that a node holds.
        start_s: until a node that is asked for is ready; it is paid for from the beginning.
        failure_h: hours that a node works on the average until it fails.
        patience_s: for how long a caller waits for a place.
        most_nodes: there may be.
        look_s: between two looks at the number of nodes.
        chunk_ms, chunk_more_ms: a chunk takes with one stream on a node, and more with each other.
        seed: of calls and failures.

    Raises:
        ValueError: if a value is not allowed.
    """

    days: int = 7
    peak_streams: float = 60.0
    quiet_share: float = 0.15
    median_s: float = 480.0
    sigma: float = 1.2
    places: int = 6
    start_s: float = 240.0
    failure_h: float = 200.0
    patience_s: float = 120.0
    most_nodes: int = 64
    look_s: float = 10.0
    chunk_ms: float = 110.0
    chunk_more_ms: float = 22.0
    seed: int = 1

    def __post_init__(self) -> None:
        for name, low, high in (
            ("days", 1, 366),
            ("peak_streams", 0.1, 10_000),
            ("quiet_share", 0, 1),
            ("median_s", 1, _DAY_S),
            ("sigma", 0, 3),
            ("places", 1, 64),
            ("start_s", 0, 3600),
            ("failure_h", 0.1, 1e6),
            ("patience_s", 0, 3600),
            ("most_nodes", 1, 1024),
            ("look_s", 1, 600),
            ("chunk_ms", 0, 10_000),
            ("chunk_more_ms", 0, 10_000),
        ):
            value = getattr(self, name)
            if not low <= value <= high:
                raise ValueError(f"{name} is {value}, it must be from {low:g} to {high:g}")

    @property
    def end_s(self) -> float:
        return self.days * _DAY_S

    @property
    def mean_length_s(self) -> float:
        return self.median_s * math.exp(self.sigma**2 / 2)

    def rate(self, at_s: float) -> float:
        """Calls a second that come at this time."""
        phase = math.cos(2 * math.pi * (at_s / _DAY_S - _PEAK_HOUR / 24))  # 1 at the peak
        share = self.quiet_share + (1 - self.quiet_share) * (1 + phase) / 2
        return share * self.peak_streams / self.mean_length_s

    def chunk_with(self, streams: int) -> float:
        """Milliseconds that a chunk takes on a node with so many streams."""
        return self.chunk_ms + self.chunk_more_ms * (streams - 1)


def draw_calls(scenario: FleetScenario) -> list[SimulatedCall]:
    """All calls by their time: the same for the same scenario.

    The method is thinning (Lewis and Shedler, 1979).
    """
    source = random.Random(f"calls {scenario.seed}")
    most = scenario.peak_streams / scenario.mean_length_s
    calls: list[SimulatedCall] = []
    at_s = 0.0
    while (at_s := at_s + source.expovariate(most)) < scenario.end_s:
        is_kept = source.random() < scenario.rate(at_s) / most
        length_s = source.lognormvariate(math.log(scenario.median_s), scenario.sigma)
        if is_kept:
            calls.append(SimulatedCall(at_s, length_s))
    return calls


def life_s(scenario: FleetScenario, number: int) -> float:
    """How long the node of this number works until it fails."""
    source = random.Random(f"node {scenario.seed} {number}")
    return source.expovariate(1 / (scenario.failure_h * 3600))

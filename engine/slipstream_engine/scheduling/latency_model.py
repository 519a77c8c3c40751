"""How long a forward pass takes, learnt while it runs. Pure.

A pass over `items` micro-steps takes about `L(items) = base + per_item * items` (launches and
weight traffic, then arithmetic). A two-state Kalman filter for each kind of pass estimates both
numbers, robustly, as machines are shared. An innovation is clipped at a few standard deviations, so
one sample ten times too long hardly counts. Three clipped ones in a row on the same side mean that
the machine has changed, and the filter follows at once. No observation moves any L(items) by more
than `MAX_MOVE` of itself.

A slower clock stretches both numbers alike, so most of the drift the filter allows for is common:
an observation at one batch size corrects the others, too.
"""

from collections.abc import Hashable, Mapping
from dataclasses import dataclass

MAX_MOVE = 0.25  # share of itself that one observation may move any prediction
_CLIP_SIGMAS = 2.5
_SHIFT_AFTER = 3  # clipped innovations in a row on one side: the machine has changed
_SHIFT = 0.5  # how far it may have changed, as a share
_COMMON_DRIFT = 0.01  # per observation, of both numbers together
_OWN_DRIFT = 0.004  # per observation, of each alone
_FIRST_SPREAD = 0.2
_LEAST_SPREAD = 0.005
_SPREAD_WEIGHT = 1 / 16
_SIGMA_PER_DEVIATION = 1.25  # standard over mean absolute deviation, of a normal distribution
_LEAST_SLOPE = 0.01  # of L(1): more work never takes less time


@dataclass(frozen=True, slots=True, kw_only=True)
class LinearLatency:
    """`base_ns + per_item_ns * items`, the time of one pass.

    Raises:
        ValueError: if the time is not positive or would fall with more work.
    """

    base_ns: float
    per_item_ns: float

    def __post_init__(self) -> None:
        if self.base_ns < 0:
            raise ValueError(f"base_ns is {self.base_ns}, it must not be negative")
        if not self.per_item_ns > 0:
            raise ValueError(f"per_item_ns is {self.per_item_ns}, it must be above 0")

    def at(self, items: int) -> float:
        """Nanoseconds of a pass over `items`."""
        return self.base_ns + self.per_item_ns * items


class _Fit:
    """The line of one kind of pass, and how sure it is.

    Attributes:
        line: the present estimate, `a + b * items`.
        p_aa, p_ab, p_bb: covariance of its base `a` and slope `b`, in ns^2.
        spread: standard deviation of a pass around the line, as a share of its mean.
        samples: passes observed.
        streak: clipped innovations in a row, negative where the passes were too short.
    """

    __slots__ = ("line", "p_aa", "p_ab", "p_bb", "samples", "spread", "streak")

    def __init__(self, prior: LinearLatency) -> None:
        self.line = prior
        self.spread = _FIRST_SPREAD
        self.samples = 0
        self.streak = 0
        self.p_aa = self.p_ab = self.p_bb = 0.0
        self._widen(1.0, 1.0)

    def observe(self, items: int, duration_ns: float) -> None:
        """One step of the filter; the innovation is clipped, and so is the move of the line."""
        self._widen(_COMMON_DRIFT, _OWN_DRIFT)
        if abs(self.streak) >= _SHIFT_AFTER:
            self._widen(_SHIFT, 0.0)
        expected_ns = self.line.at(items)
        # covariance of base and of slope with the prediction, then the prediction's variance
        cov_a = self.p_aa + self.p_ab * items
        cov_b = self.p_ab + self.p_bb * items
        noise_ns2 = (self.spread * expected_ns) ** 2
        variance_ns2 = cov_a + cov_b * items + noise_ns2
        error_ns = duration_ns - expected_ns
        used_ns = self._clip(error_ns, _CLIP_SIGMAS * variance_ns2**0.5)
        gain = used_ns / variance_ns2
        moved = _moved(self.line, cov_a * gain, cov_b * gain)
        # Only as much doubt is removed as the prediction really moved towards what the whole error
        # called for: a move cut short leaves the rest of the doubt.
        planned_ns = (cov_a + cov_b * items) / variance_ns2 * error_ns
        moved_share = (moved.at(items) - expected_ns) / planned_ns if planned_ns else 1.0
        shrink = min(max(moved_share, 0.0), 1.0) / variance_ns2
        self.p_aa -= cov_a * cov_a * shrink
        self.p_ab -= cov_a * cov_b * shrink
        self.p_bb -= cov_b * cov_b * shrink
        self.line = moved
        deviation = abs(used_ns) / expected_ns * (noise_ns2 / variance_ns2) ** 0.5
        self._follow_spread(deviation)
        self.samples += 1

    def _clip(self, error_ns: float, limit_ns: float) -> float:
        """The error cut to the limit; counts in `streak` how often in a row it was beyond."""
        if abs(error_ns) <= limit_ns:
            self.streak = 0
            return error_ns
        if error_ns > 0:
            self.streak = max(self.streak, 0) + 1
            return limit_ns
        self.streak = min(self.streak, 0) - 1
        return -limit_ns

    def _follow_spread(self, deviation: float) -> None:
        step = _SIGMA_PER_DEVIATION * min(deviation, 1.0) - self.spread
        self.spread = max(_LEAST_SPREAD, self.spread + _SPREAD_WEIGHT * step)

    def _widen(self, common: float, own: float) -> None:
        """Let the line have drifted by these shares; no standard deviation grows beyond L(1)."""
        a, b = self.line.base_ns, self.line.per_item_ns
        self.p_aa += (common * a) ** 2 + (own * a) ** 2
        self.p_ab += common * common * a * b
        self.p_bb += (common * b) ** 2 + (own * b) ** 2
        excess = max(self.p_aa, self.p_bb) / (a + b) ** 2
        if excess > 1.0:
            self.p_aa /= excess
            self.p_ab /= excess
            self.p_bb /= excess


def _moved(line: LinearLatency, delta_a: float, delta_b: float) -> LinearLatency:
    """The line after a step, cut so that no L(items), items >= 1, moves by more than its share."""
    a, b = line.base_ns, line.per_item_ns
    bound_b = MAX_MOVE * b
    bound_1 = MAX_MOVE * (a + b)
    b += min(max(delta_b, -bound_b), bound_b)
    at_1 = line.base_ns + line.per_item_ns + min(max(delta_a + delta_b, -bound_1), bound_1)
    b = min(max(b, _LEAST_SLOPE * at_1), at_1)
    return LinearLatency(base_ns=at_1 - b, per_item_ns=b)


class LatencyModel:
    """Predicts and learns the time of a pass, per kind of pass.

    Args:
        prior: the estimate for a kind before its first observation.
        priors: the same for single kinds, such as those measured in a warm-up.
    """

    def __init__(
        self, prior: LinearLatency, priors: Mapping[Hashable, LinearLatency] | None = None
    ) -> None:
        self._prior = prior
        self._fits = {kind: _Fit(line) for kind, line in (priors or {}).items()}

    @property
    def kinds(self) -> frozenset[Hashable]:
        """The kinds of pass that have an estimate of their own."""
        return frozenset(self._fits)

    def line(self, kind: Hashable) -> LinearLatency:
        """The present estimate for `kind`."""
        fit = self._fits.get(kind)
        return self._prior if fit is None else fit.line

    def spread(self, kind: Hashable) -> float:
        """Standard deviation of a pass as a share of its mean."""
        fit = self._fits.get(kind)
        return _FIRST_SPREAD if fit is None else fit.spread

    def samples(self, kind: Hashable) -> int:
        """How many passes of `kind` have been observed."""
        fit = self._fits.get(kind)
        return 0 if fit is None else fit.samples

    def observe(self, kind: Hashable, *, items: int, duration_ns: float) -> None:
        """A pass of `kind` over `items` took `duration_ns`.

        Raises:
            ValueError: if there was no item or no time.
        """
        if items < 1:
            raise ValueError(f"items is {items}, it must be at least 1")
        if not duration_ns > 0:
            raise ValueError(f"duration_ns is {duration_ns}, it must be above 0")
        fit = self._fits.get(kind)
        if fit is None:
            fit = self._fits[kind] = _Fit(self._prior)
        fit.observe(items, duration_ns)

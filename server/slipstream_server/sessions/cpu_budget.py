"""Whether the processor has room for the codecs of one more stream. Pure: times are arguments.

What a stream costs is what this server has used for those that it serves: decoding, scaling,
encoding, packets and all. A stream weighs that much from its opening on, whether or not it sends.
The engine's own use is taken off before, up to half of the cores: one that computes on the
processor takes what it is left, and what that is enough for is admitted by its own forecast.
"""

import math

from slipstream_protocol.clock import NS_PER_S

_RISE, _FALL = 1 / 4, 1 / 16  # weights of a sample above, and below, what is known
_LEAST_SPAN_NS = NS_PER_S // 2


class CpuBudget:
    """Measures by samples of processor time, and admits by them.

    Args:
        cores: that server and engine may use; without limit until that is known.
        share: of them that may be promised; 0: whoever comes is admitted.

    Raises:
        ValueError: if `cores` is not above 0, or `share` not within 0 to 1.

    Attributes:
        stream_cores: cores that a stream takes; None before that is known.
        engine_cores: cores that the engine takes.
    """

    def __init__(self, *, cores: float = math.inf, share: float) -> None:
        if not 0 <= share <= 1:
            raise ValueError(f"share is {share}, it must be between 0 and 1")
        self.stream_cores: float | None = None
        self.engine_cores = 0.0
        self._share = share
        self._last: tuple[int, int, int] | None = None  # now, own, engine's
        self.limit(cores)

    def limit(self, cores: float) -> None:
        """There are so many.

        Raises:
            ValueError: if it is not above 0.
        """
        if not cores > 0:
            raise ValueError(f"cores is {cores}, it must be above 0")
        self._cores = cores

    def sample(
        self, now_ns: int, *, own_ns: int, engine_ns: int, sending: int, is_steady: bool = True
    ) -> None:
        """Take the processor time used so far.

        Args:
            own_ns, engine_ns: of this process, and of the engine's.
            sending: streams that have sent pictures since the last sample.
            is_steady: whether no call has come or gone since; what that costs is no stream's.
        """
        last, self._last = self._last, (now_ns, own_ns, engine_ns)
        if last is None:
            return
        span_ns = now_ns - last[0]
        if span_ns < _LEAST_SPAN_NS or own_ns < last[1]:
            return  # the clock has jumped
        if engine_ns >= last[2]:  # else it is another process
            used = (engine_ns - last[2]) / span_ns
            self.engine_cores = _followed(self.engine_cores, min(used, self._cores))
        if sending > 0 and is_steady:
            each = min((own_ns - last[1]) / span_ns, self._cores) / sending
            known = self.stream_cores
            self.stream_cores = each if known is None else _followed(known, each)

    def refusal(self, streams: int) -> str | None:
        """Why there is no room for one more beside so many, for people; None where there is."""
        if not streams or not self._share or self.stream_cores is None:
            return None
        needed = self.stream_cores * (streams + 1)
        room = self._share * (self._cores - min(self.engine_cores, self._cores / 2))
        if needed <= room:
            return None
        return (
            f"the codecs of {streams + 1} streams would take {needed:.1f} processor cores, "
            f"{room:.1f} of {self._cores:g} are theirs beside the engine (a stream takes "
            f"{self.stream_cores:.2f}); send a smaller picture, or wait until a viewer leaves"
        )


def _followed(known: float, sample: float) -> float:
    weight = _RISE if sample > known else _FALL
    return known + weight * (sample - known)

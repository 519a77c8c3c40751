"""The size of a stream's pictures: its camera's aspect, at the scale of its level. Pure.

The aspect is chosen at the camera's first picture. A camera that has another shape later, as a
phone that is turned, is followed once it has kept that shape for a second, and not again within ten
after that: each change begins the stream anew. Until then its pictures are cut.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from slipstream_protocol.clock import NS_PER_S
from slipstream_protocol.frames import FrameSize
from slipstream_protocol.messages import OfferedSize, Ready

_SETTLED_NS = NS_PER_S
_KEPT_NS = 10 * NS_PER_S

FOLLOWED, PASSED_OVER = "followed", "passed_over"


class SizeChoice:
    """Chooses the size of each picture of one stream; every time is an argument.

    Args:
        offered: by the model, the largest scale first.
        first: at which its streams begin; offered, or the only one.
    """

    def __init__(self, offered: Sequence[OfferedSize], *, first: FrameSize) -> None:
        only = OfferedSize(size=first, scale_px=min(first.width_px, first.height_px))
        self._offered = tuple(offered) or (only,)
        self._scale_px = next(one.scale_px for one in self._offered if one.size == first)
        self._aspect: float | None = None
        self._size = self._best(None)
        self._followed_ns: int | None = None  # the newest turn
        self._other: float | None = None
        self._other_from_ns = 0
        self._turns: Counter[str] = Counter()

    @classmethod
    def of(cls, ready: Ready) -> "SizeChoice":
        """Among the sizes of an engine."""
        return cls(ready.sizes, first=ready.geometry.size)

    @property
    def turns(self) -> Mapping[str, int]:
        """How often the camera has come to another shape: `followed`, or `passed_over` since it did
        not keep it, or had done so just before."""
        return self._turns

    @property
    def size(self) -> FrameSize:
        """Of the next picture; where no picture has come yet, the scale's own."""
        return self._size

    def limit(self, size_px: int) -> None:
        """Choose at this scale from now on; 0 for the largest."""
        self._scale_px = size_px or self._offered[0].scale_px
        self._size = self._best(self._aspect)

    def for_camera(self, width_px: int, height_px: int, now_ns: int) -> FrameSize:
        """The size for a picture that the camera has sent."""
        aspect = width_px / height_px
        if self._aspect is None:
            self._turn(aspect)
        elif aspect == self._aspect or self._best(aspect) == self._size:
            self._give_up()
        else:
            self._see(aspect, now_ns)
        return self._size

    def work_ratio(self, size: FrameSize, other: FrameSize) -> float:
        """What a chunk of one size costs, as a share of one of another, both offered."""
        costs = {one.size: one.chunk_ms or one.size.pixels for one in self._offered}
        return costs[size] / costs[other]

    def _see(self, aspect: float, now_ns: int) -> None:
        """A picture of another shape, which is followed in time."""
        if self._other is None or self._best(self._other) != self._best(aspect):
            self._give_up()
            self._other, self._other_from_ns = aspect, now_ns
        followed_ns = self._followed_ns
        is_settled = not 0 <= now_ns - self._other_from_ns < _SETTLED_NS
        is_due = followed_ns is None or not 0 <= now_ns - followed_ns < _KEPT_NS
        if is_settled and is_due:
            self._turn(aspect)
            self._followed_ns, self._other = now_ns, None
            self._turns[FOLLOWED] += 1

    def _turn(self, aspect: float) -> None:
        self._aspect = aspect
        self._size = self._best(aspect)

    def _give_up(self) -> None:
        if self._other is not None:
            self._turns[PASSED_OVER] += 1
            self._other = None

    def _best(self, aspect: float | None) -> FrameSize:
        """That which cuts the least off the picture."""
        sizes = [one.size for one in self._offered if one.scale_px == self._scale_px]
        return sizes[0] if aspect is None else max(sizes, key=lambda size: size.kept_share(aspect))


def same_sizes(ready: Ready, other: Ready) -> bool:
    """Whether two engines offer the same, in chunks of the same length; where streams begin among
    them may differ."""
    ours, others = ([one.size for one in each.sizes] for each in (ready, other))
    return (
        ours == others
        and ready.geometry == other.geometry.at(ready.geometry.size)
        and (bool(ours) or ready.geometry == other.geometry)
    )


def work_by_scale(offered: Iterable[OfferedSize]) -> dict[int, float]:
    """What a chunk at each scale costs, as a share of one at the largest."""
    costs: dict[int, float] = {}
    for one in offered:
        costs.setdefault(one.scale_px, one.chunk_ms or one.size.pixels)
    most = max(costs.values(), default=1.0)
    return {scale_px: cost / most for scale_px, cost in costs.items()}

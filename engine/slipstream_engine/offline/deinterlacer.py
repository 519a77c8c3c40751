"""Makes whole frames of interlaced ones.

A frame of a television camera holds two moments, one in its even and one in its odd rows; scaled as
it is, whatever moves gets combs. FFmpeg's bwdif fills in the missing rows of the first moment.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

import av
from av.filter.context import FilterContext

_OPTIONS = "mode=send_frame:parity=auto:deint=interlaced"  # a frame each; whole ones pass unchanged


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PlacedFrame:
    """A decoded frame and its time, in units of the video's time base."""

    frame: av.VideoFrame
    time: int


class Deinterlacer:
    """Passes frames on until the first interlaced one; from there on through the filter.

    The filter holds one frame back, so `flush` must be called at the end.
    """

    def __init__(self) -> None:
        self.is_active = False
        self._graph: av.filter.Graph | None = None
        self._shape: tuple[int, int, str] | None = None
        self._times: deque[int] = deque()

    def push(self, placed: PlacedFrame) -> Iterator[PlacedFrame]:
        """Give a frame in, and take those that are ready."""
        frame = placed.frame
        self.is_active = self.is_active or frame.interlaced_frame
        if not self.is_active:
            yield placed
            return
        shape = (frame.width, frame.height, frame.format.name)
        if shape != self._shape:
            yield from self.flush()
            self._graph, self._shape = _graph(frame), shape
        assert self._graph is not None, "it was made for this shape"
        self._times.append(placed.time)
        # the filter halves the unit of time; frames are told apart by their order
        frame.pts, frame.time_base = placed.time, Fraction(1, 1000)
        self._graph.vpush(frame)
        yield from self._ready()

    def flush(self) -> Iterator[PlacedFrame]:
        """The frames that are held back."""
        if self._graph is not None:
            self._graph.vpush(None)
            yield from self._ready()
        self._graph, self._shape = None, None

    def _ready(self) -> Iterator[PlacedFrame]:
        assert self._graph is not None, "called where there is one"
        while self._times:
            try:
                frame = self._graph.vpull()
            except (av.BlockingIOError, av.EOFError):
                return
            yield PlacedFrame(frame=frame, time=self._times.popleft())


def _graph(frame: av.VideoFrame) -> av.filter.Graph:
    graph = av.filter.Graph()
    nodes: list[FilterContext] = [
        graph.add_buffer(
            width=frame.width,
            height=frame.height,
            format=frame.format,
            time_base=Fraction(1, 1000),
        ),
        graph.add("bwdif", _OPTIONS),
        graph.add("buffersink"),
    ]
    graph.link_nodes(*nodes).configure()
    return graph

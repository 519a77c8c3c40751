"""Which of several streams of one picture is decoded: simulcast, and streams that take over. Pure.

A simulcast sender (RFC 8853) sends its picture in several sizes, each as an RTP stream with a
source number (SSRC) of its own. One is decoded: the smallest that covers the picture that is
wanted, else the largest. Where it stops, the best of the others takes its place; it is given back
when it returns. A switch waits for a key frame of the coming stream, and the one before is decoded
until then.

Without simulcast a new stream takes the place of the one before at its first key frame.
"""

from collections import Counter
from collections.abc import Iterable

from slipstream_protocol.clock import NS_PER_MS, NS_PER_S

LAYERS_MAX = 8
# a stream has stopped when another one goes on for so long without it; both count, so that a slow
# source, or layers of unequal rates, are not taken for it
_STOPPED_FRAMES = 8
_STOPPED_NS = 400 * NS_PER_MS
_PROBE_EVERY_NS = 1 * NS_PER_S
_PROBES_MAX = 5

_Size = tuple[int, int]


class _Layer:
    def __init__(self, timestamp: int, now_ns: int) -> None:
        self.size_px: _Size | None = None
        self.timestamp = timestamp
        self.last_ns = now_ns
        self.missed: Counter[int] = Counter()  # frames of the others since its last packet
        self.probes = 0
        self.next_probe_ns = now_ns

    def has_stopped(self, now_ns: int) -> bool:
        frames = max(self.missed.values(), default=0)
        return frames >= _STOPPED_FRAMES and now_ns - self.last_ns >= _STOPPED_NS


class LayerChoice:
    """The streams of one picture, by source number.

    Args:
        wanted_px: width and height that the picture is scaled to.
        is_simulcast: whether the sender has announced several streams.
    """

    def __init__(self, wanted_px: _Size, *, is_simulcast: bool) -> None:
        self.shown: int | None = None
        self.coming: int | None = None
        self._wanted_px = wanted_px
        self._is_simulcast = is_simulcast
        self._layers: dict[int, _Layer] = {}

    def on_packet(self, ssrc: int, timestamp: int, size_px: _Size | None, now_ns: int) -> bool:
        """A packet has come; returns whether its stream is decoded, or about to be.

        Args:
            size_px: of the picture, where the packet says so.
        """
        layer = self._layers.get(ssrc)
        is_new, begins = layer is None, True
        if layer is None:
            self._make_room()
            layer = self._layers[ssrc] = _Layer(timestamp, now_ns)
        else:
            begins = layer.timestamp != timestamp
        layer.timestamp, layer.last_ns = timestamp, now_ns
        layer.missed.clear()
        if begins:
            for other, one in self._layers.items():
                if other != ssrc:
                    one.missed[ssrc] += 1
        if self.shown is None:
            self.shown = ssrc
        elif is_new and not self._is_simulcast:
            self.coming = ssrc
        is_resized = size_px is not None and size_px != layer.size_px
        layer.size_px = size_px or layer.size_px
        if is_resized or (begins and len(self._layers) > 1 and not is_new):
            self._choose(now_ns)
        return ssrc in (self.shown, self.coming)

    def on_whole_frame(self, ssrc: int) -> bool:
        """A frame that can be decoded is whole; returns whether it is to be decoded."""
        if ssrc == self.coming:
            self.shown, self.coming = ssrc, None
        return ssrc == self.shown

    def on_goodbye(self, sources: Iterable[int], now_ns: int) -> bool:
        """Streams have ended (RTCP BYE); returns whether any is left."""
        for ssrc in sources:
            self._layers.pop(ssrc, None)
            self.coming = None if self.coming == ssrc else self.coming
            if self.shown == ssrc:
                self.shown = None
        if self.shown is None and self._layers:
            self.shown, self.coming = self.coming or min(self._layers), None
            self._choose(now_ns)
        return bool(self._layers)

    def take_unsized(self, now_ns: int) -> tuple[int, ...]:
        """Streams to request a key frame of, since only that tells their size."""
        if not self._is_simulcast:
            return ()
        due = []
        for ssrc, layer in self._layers.items():
            is_asked = layer.probes >= _PROBES_MAX or now_ns < layer.next_probe_ns
            if layer.size_px is None and ssrc not in (self.shown, self.coming) and not is_asked:
                layer.probes += 1
                layer.next_probe_ns = now_ns + _PROBE_EVERY_NS
                due.append(ssrc)
        return tuple(due)

    def _choose(self, now_ns: int) -> None:
        """Let the best of the streams that go on come, where it is better than the one shown."""
        live = {ssrc: one for ssrc, one in self._layers.items() if not one.has_stopped(now_ns)}
        if self.coming is not None and (self._is_simulcast or self.coming not in live):
            self.coming = None
        if not live or self.coming is not None:
            return
        best = min(live, key=lambda ssrc: self._rank(live[ssrc]))
        shown = live.get(self.shown) if self.shown is not None else None
        if best != self.shown and (shown is None or self._rank(live[best]) < self._rank(shown)):
            self.coming = best

    def _rank(self, layer: _Layer) -> tuple[int, int]:
        """The less the better."""
        if layer.size_px is None:
            return 2, 0
        (width_px, height_px), (wide_px, high_px) = layer.size_px, self._wanted_px
        pixels = width_px * height_px
        return (0, pixels) if width_px >= wide_px and height_px >= high_px else (1, -pixels)

    def _make_room(self) -> None:
        """Forget the stream that is silent for the longest, where there are too many."""
        if len(self._layers) < LAYERS_MAX:
            return
        idle = [ssrc for ssrc in self._layers if ssrc not in (self.shown, self.coming)]
        oldest = min(idle, key=lambda ssrc: self._layers[ssrc].last_ns)
        del self._layers[oldest]
        for layer in self._layers.values():
            layer.missed.pop(oldest, None)

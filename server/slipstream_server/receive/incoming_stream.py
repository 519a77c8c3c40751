"""One RTP stream on its way in: its jitter buffer, times and parameter sets. Pure."""

from collections.abc import Iterable

from slipstream_protocol.clock import NS_PER_S, RTP_HZ

from slipstream_server.receive.capture_time import FrameOrigins
from slipstream_server.receive.jitter_buffer import EncodedFrame, JitterBuffer
from slipstream_server.rtp.h264_units import ParameterSets

_CYCLE = 1 << 32


class IncomingStream:
    """What is kept of the stream of one source number (SSRC).

    Args:
        parameter_sets: of H.264, from the SDP.
        is_first: whether no other was there before it, and its picture is waited for.
    """

    def __init__(self, parameter_sets: Iterable[bytes] = (), *, is_first: bool = False) -> None:
        self.buffer = JitterBuffer(wants_beginning=is_first)
        self.origins = FrameOrigins()
        self.parameter_sets = ParameterSets(parameter_sets)

    def data_of(self, frame: EncodedFrame, codec: str) -> bytes:
        """A frame for the decoder, with the parameter sets that it needs."""
        if codec == "H264" and frame.needs_none_before:
            return self.parameter_sets.completed(frame.data)
        return frame.data


class Timeline:
    """The pts of frames, or of packets of sound, in ticks since the first, whichever stream they
    are of: the clocks of two streams begin at random, so the arrival joins them.

    Args:
        rtp_hz: ticks of the streams' RTP clocks in a second.
    """

    def __init__(self, rtp_hz: int = RTP_HZ) -> None:
        self._rtp_hz = rtp_hz
        self._pts = 0
        self._last: tuple[int, int, int] | None = None  # SSRC, timestamp, arrival in ns

    def pts(self, ssrc: int, timestamp: int, now_ns: int) -> int:
        """The pts of the next one; its timestamp has 32 bits and wraps."""
        if self._last is not None:
            last_ssrc, last_timestamp, last_ns = self._last
            step = (timestamp - last_timestamp + _CYCLE // 2) % _CYCLE - _CYCLE // 2
            if ssrc != last_ssrc:
                step = max(1, (now_ns - last_ns) * self._rtp_hz // NS_PER_S)
            self._pts += step
        self._last = ssrc, timestamp, now_ns
        return self._pts

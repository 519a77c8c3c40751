"""Where the time of one frame went, from its first packet to sent. Pure."""

from dataclasses import dataclass
from itertools import pairwise

from slipstream_protocol.clock import NS_PER_MS

from slipstream_server.frames.playout import ScheduledFrame


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameStagesMs:
    """Milliseconds of one frame in each stage; together, from its first packet to sent.

    Args:
        receive: from its first packet to decoded.
        chunk: until its chunk was sent to the engine.
        queue: until the engine began.
        engine: in the engine.
        back: on its way from there.
        playout: until it was due.
        send: until it was sent.
    """

    receive: float
    chunk: float
    queue: float
    engine: float
    back: float
    playout: float
    send: float

    @classmethod
    def of(cls, scheduled: ScheduledFrame, sent_ns: int) -> "FrameStagesMs":
        """Those of a frame that was sent at `sent_ns`."""
        frame, stamps = scheduled.generated, scheduled.generated.stamps
        first_ns = frame.arrived_ns if frame.first_packet_ns is None else frame.first_packet_ns
        moments_ns = (
            first_ns,
            frame.arrived_ns,
            stamps.submitted_ns,
            stamps.taken_ns,
            stamps.generated_ns,
            stamps.received_ns,
            scheduled.popped_ns,
            sent_ns,
        )
        return cls(
            **{
                name: (after_ns - before_ns) / NS_PER_MS
                for name, (before_ns, after_ns) in zip(
                    cls.__slots__, pairwise(moments_ns), strict=True
                )
            }
        )

"""Frames with given timestamps, for the tests of the pure parts."""

import numpy as np
from slipstream_protocol.clock import NS_PER_MS
from slipstream_protocol.frames import Geometry
from slipstream_protocol.messages import StageTimes
from slipstream_server.frames.chunker import CapturedFrame
from slipstream_server.frames.playout import ChunkStamps, GeneratedFrame

GEOMETRY = Geometry(width_px=4, height_px=2, first_chunk_frames=5, chunk_frames=4)


def ms(value: float) -> int:
    return round(value * NS_PER_MS)


def captured_frame(at_ms: float) -> CapturedFrame:
    frame = np.zeros(GEOMETRY.frame_shape, np.uint8)
    return CapturedFrame(frame=frame, captured_ns=ms(at_ms), arrived_ns=ms(at_ms))


def generated_frame(
    captured_ms: float,
    *,
    received_ms: float = 0.0,
    repeated_after_ms: float = 0.0,
    chunk: int = 0,
    index: int = 0,
    rev: int = -1,
) -> GeneratedFrame:
    return GeneratedFrame(
        frame=np.zeros(GEOMETRY.frame_shape, np.uint8),
        captured_ns=ms(captured_ms),
        arrived_ns=ms(captured_ms),
        repeated_after_ns=ms(repeated_after_ms),
        chunk=chunk,
        index=index,
        rev=rev,
        stamps=ChunkStamps(
            chunked_ns=ms(captured_ms),
            submitted_ns=ms(captured_ms),
            taken_ns=ms(captured_ms),
            generated_ns=ms(received_ms),
            received_ns=ms(received_ms),
            stages=StageTimes(encode_ms=1.0, denoise_ms=2.0, decode_ms=3.0),
        ),
    )

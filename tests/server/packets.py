"""Numbered RTP packets for tests of the receiving side."""

from dataclasses import replace

from aiortc.rtp import HeaderExtensions, HeaderExtensionsMap, pack_header_extensions
from slipstream_server.receive.frame_search import Packet
from slipstream_server.receive.jitter_buffer import EncodedFrame

FRAME_TICKS = 3750  # 24 fps
PAYLOAD_TYPE = 97


def packets_of(
    frames: int,
    *,
    packets: int = 3,
    first: int = 0,
    first_frame: int = 0,
    keys: frozenset[int] = frozenset({0}),
    markers: bool = True,
) -> list[Packet]:
    """`frames` frames of `packets` packets each; those in `keys` are key frames, and marked so.

    The data of a packet says which it is: frame, part, parts.
    """
    stream: list[Packet] = []
    for frame in range(first_frame, first_frame + frames):
        for part in range(packets):
            stream.append(
                Packet(
                    sequence=(first + len(stream)) % 65536,
                    timestamp=frame * FRAME_TICKS % (1 << 32),
                    payload_type=PAYLOAD_TYPE,
                    marker=markers and part == packets - 1,
                    starts_frame=part == 0 and frame in keys,
                    is_key=part == 0 and frame in keys,
                    data=f"<{frame}.{part}/{packets}>".encode(),
                )
            )
    return stream


def padding(after: Packet, sequence: int) -> Packet:
    """An empty packet, as senders that probe for bandwidth put behind a frame."""
    return replace(
        after, sequence=sequence, marker=False, starts_frame=False, is_key=False, data=b""
    )


def frame_number(frame: EncodedFrame) -> int:
    """The number of a frame; fails where a part is missing, foreign or misplaced."""
    parts = frame.data.decode().strip("<>").split("><")
    number = int(parts[0].partition(".")[0])
    count = int(parts[0].partition("/")[2])
    assert parts == [f"{number}.{part}/{count}" for part in range(count)], "the frame is torn"
    return number


class FixedExtensions(HeaderExtensionsMap):
    """Writes these extensions, whatever the packet has.

    Args:
        extensions: number and content of each.
    """

    def __init__(self, extensions: list[tuple[int, bytes]]) -> None:
        super().__init__()
        self._extensions = extensions

    def set(self, values: HeaderExtensions) -> tuple[int, bytes]:
        return pack_header_extensions(self._extensions)

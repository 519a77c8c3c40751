"""A chunk that the engine has: whose frames they are, and what becomes of them. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from slipstream_protocol.frames import FrameSize

from slipstream_server.engine.engine_stream import ChunkBack
from slipstream_server.frames.chunker import CapturedFrame
from slipstream_server.frames.playout import ChunkStamps, GeneratedFrame


@dataclass(frozen=True, slots=True, kw_only=True)
class SubmittedChunk:
    """A chunk on its way through the engine.

    Args:
        frames: as `Chunker.take` gives them.
        chunked_ns, submitted_ns: see `ChunkStamps`.
    """

    frames: tuple[CapturedFrame, ...]
    chunked_ns: int
    submitted_ns: int

    @property
    def stands_for_ns(self) -> int:
        """The moment that its first frame stands for."""
        return self.frames[0].stands_for_ns

    @property
    def size(self) -> FrameSize:
        """Of its frames."""
        return FrameSize.of(self.frames[0].frame)

    def generated(self, back: ChunkBack, *, chunk: int) -> list[GeneratedFrame]:
        """What was made of each of the camera's frames; where one is repeated, of its last place,
        which owes the most to it.

        Args:
            chunk: its number in the stream.
        """
        out = back.out
        stamps = ChunkStamps(
            chunked_ns=self.chunked_ns,
            submitted_ns=self.submitted_ns,
            taken_ns=out.taken_ns,
            generated_ns=out.made_ns,
            received_ns=back.received_ns,
            stages=out.stages,
        )
        return [
            GeneratedFrame(
                frame=back.frames_THW[index],
                captured_ns=self.frames[index].captured_ns,
                arrived_ns=self.frames[index].arrived_ns,
                first_packet_ns=self.frames[index].first_packet_ns,
                captured_unix_ns=self.frames[index].captured_unix_ns,
                repeated_after_ns=self.frames[index].repeated_after_ns,
                chunk=chunk,
                index=index,
                rev=out.rev,
                stamps=stamps,
            )
            for index in _last_places(self.frames)
        ]


def new_frames(chunk: Sequence[CapturedFrame]) -> int:
    """How many of the camera's frames stand in this chunk, and stood in none before it."""
    return sum(chunk[place].repeated_after_ns == 0 for place in _last_places(chunk))


def _last_places(chunk: Sequence[CapturedFrame]) -> list[int]:
    """Where each frame stands; the last place of one that is repeated."""
    end = len(chunk)
    return [k for k in range(end) if k + 1 == end or chunk[k + 1] is not chunk[k]]

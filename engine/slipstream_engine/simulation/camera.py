"""Simulated cameras: when their frames are captured, and which of them a chunk holds. Pure."""

from dataclasses import dataclass

from slipstream_protocol.clock import NS_PER_MS, NS_PER_S

from slipstream_engine.config import CHUNK_FRAMES
from slipstream_engine.scheduling.types import ChunkShape

HAND_OVER_NS = 3 * NS_PER_MS  # from a credit to its chunk, where the frames are captured already


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatedCamera:
    """A stream's source, and its viewer.

    Args:
        fps: of its frames.
        phase_ns: when its first chunk is complete.
        jitter_ns: mean of what each chunk comes later than complete; exponential.
        target_ns: oldest age of a chunk that is not missed.
        device: that computes its chunks.
        shape: of its chunks.
        waits_for_credit: chunks do not come by themselves; frames wait at the camera until the
            stream has a credit, and a chunk holds frames taken evenly from all that were captured
            since the one before it, as the server's chunks do.
        read_ns: how long the viewer leaves a finished chunk in its output slot.
    """

    fps: float
    phase_ns: int
    jitter_ns: int
    target_ns: int
    device: int
    shape: ChunkShape
    waits_for_credit: bool = False
    read_ns: int = 0

    @property
    def frame_ns(self) -> float:
        return NS_PER_S / self.fps

    @property
    def period_ns(self) -> int:
        return round(CHUNK_FRAMES * NS_PER_S / self.fps)

    @property
    def collecting_ns(self) -> int:
        """From the first frame of a chunk to its last."""
        return round((CHUNK_FRAMES - 1) * NS_PER_S / self.fps)


@dataclass(slots=True)
class SimulatedChunk:
    """A chunk on its way; `captured_ns` is of its first frame."""

    stream: int
    number: int
    captured_ns: int = 0


@dataclass(slots=True)
class SimulatedStream:
    """What a stream has done so far.

    Args:
        number: of the stream.
        chunks: that it has begun to send.
        used_frames: captured frames that are in chunks, or were passed over for newer ones.
        unread_outputs: output slots that hold a finished chunk.
    """

    camera: SimulatedCamera
    number: int
    chunks: int = 0
    used_frames: int = 0
    unread_outputs: int = 0

    def next_chunk(self) -> SimulatedChunk:
        """A chunk without frames."""
        self.chunks += 1
        return SimulatedChunk(self.number, self.chunks - 1)

    def complete_ns(self, chunk: SimulatedChunk) -> int:
        """When the last frame of a chunk is captured, if no frame is left out."""
        return self.camera.phase_ns + chunk.number * self.camera.period_ns

    def enough_ns(self) -> int:
        """When as many frames as a chunk holds are captured since the chunk before it."""
        last_frame = self.used_frames + CHUNK_FRAMES - 1
        return self.camera.phase_ns + round(last_frame * self.camera.frame_ns)

    def pick_frames(self, chunk: SimulatedChunk, now_ns: int) -> None:
        """Make a chunk of frames taken evenly from those captured since the one before it."""
        camera = self.camera
        captured = int((now_ns - HAND_OVER_NS - camera.phase_ns) / camera.frame_ns) + 1
        stride = round((captured - self.used_frames) / CHUNK_FRAMES)
        first_frame = self.used_frames + stride - 1
        chunk.captured_ns = camera.phase_ns + round(first_frame * camera.frame_ns)
        self.used_frames = captured

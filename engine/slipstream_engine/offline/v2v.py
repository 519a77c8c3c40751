"""`slipstream-engine v2v`: a video file through the pipeline that serves cameras.

Arguments, files and weights are checked before the first chunk. The new file gets its name only
when it is complete.
"""

import argparse
import hashlib
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import msgspec
import numpy as np
from slipstream_protocol.frames import I420, Geometry
from slipstream_protocol.parameters import Parameters

from slipstream_engine.atomic_file import atomic_write
from slipstream_engine.cli.options import add_model_options, count, model_request
from slipstream_engine.cli.progress import Progress
from slipstream_engine.config import FIRST_CHUNK_FRAMES
from slipstream_engine.errors import MissingExtraError
from slipstream_engine.optional_packages import import_optional
from slipstream_engine.weights.factory import available_cores, preset_named
from slipstream_engine.weights.group import load_model
from slipstream_engine.weights.request import ModelRequest

if TYPE_CHECKING:  # PyAV comes with an extra
    import av

    from slipstream_engine.offline.video_reader import TimedFrame, VideoInfo, VideoReader


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One file to convert.

    Args:
        reference: a video of as many frames to compare the new one with.
        strict: refuse a source with any damage.
        with_audio: keep the source's sound.
        manifest: file for the SHA-256 of each new frame; None for none.
    """

    source: Path
    target: Path
    request: ModelRequest
    parameters: Parameters
    reference: Path | None = None
    strict: bool = False
    with_audio: bool = True
    manifest: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class VideoChunk:
    """The frames of one chunk.

    Args:
        frames_THW: I420; the last chunk of a video is padded with its last frame.
        times: of the frames that are not padding, T or fewer.
    """

    frames_THW: I420
    times: tuple[int, ...]


class ChunkStream(Protocol):
    """What `transform_video` needs of a stream."""

    def step(self, frames_THW: I420, out_THW: I420) -> object: ...


class VideoSink(Protocol):
    """Where new frames and audio go; see `VideoWriter`."""

    def write(self, frame: "TimedFrame") -> None: ...

    def copy(self, packet: "av.Packet[av.AudioStream]") -> None: ...


class HashedFrames:
    """Passes a video on, and takes down the SHA-256 of each frame's pixels (I420).

    Frames that are equal bit for bit have equal hashes, whatever the video's encoder makes of them.

    Attributes:
        hashes: in the order of the frames, as hexadecimal digits.
    """

    def __init__(self, sink: VideoSink) -> None:
        self._sink = sink
        self.hashes: list[str] = []

    def write(self, frame: "TimedFrame") -> None:
        self.hashes.append(hashlib.sha256(frame.pixels.tobytes()).hexdigest())
        self._sink.write(frame)

    def copy(self, packet: "av.Packet[av.AudioStream]") -> None:
        self._sink.copy(packet)


def split_into_chunks(frames: "Iterable[TimedFrame]", geometry: Geometry) -> Iterator[VideoChunk]:
    """Cut a video into chunks; the last one is padded, so that no frame is left over."""
    number = 0
    waiting: list[TimedFrame] = []
    for frame in frames:
        waiting.append(frame)
        if len(waiting) == geometry.frames_of(number):
            yield _padded_chunk(waiting, len(waiting))
            number, waiting = number + 1, []
    if waiting:
        yield _padded_chunk(waiting, geometry.frames_of(number))


def _padded_chunk(frames: "list[TimedFrame]", size: int) -> VideoChunk:
    pixels = [frame.pixels for frame in frames]
    pixels += pixels[-1:] * (size - len(pixels))
    return VideoChunk(frames_THW=np.stack(pixels), times=tuple(frame.time for frame in frames))


def transform_video(
    source: "VideoReader",
    sink: VideoSink,
    stream: ChunkStream,
    geometry: Geometry,
    on_chunk: Callable[[int], None],
) -> None:
    """Send a whole video through a fresh stream.

    Args:
        on_chunk: called after each chunk with the number of frames written so far.

    Raises:
        VideoFileError: if the source turns out to be damaged.
    """
    from slipstream_engine.offline.video_reader import TimedFrame, scaled_frames

    frames = scaled_frames(
        source, width_px=geometry.width_px, height_px=geometry.height_px, on_audio=sink.copy
    )
    written = 0
    for chunk in split_into_chunks(frames, geometry):
        generated_THW = np.empty_like(chunk.frames_THW)
        stream.step(chunk.frames_THW, generated_THW)
        for pixels, time_units in zip(generated_THW, chunk.times, strict=False):  # skips padding
            sink.write(TimedFrame(pixels=pixels, time=time_units))
        written += len(chunk.times)
        on_chunk(written)


def convert_video(job: Job) -> None:
    """Write the new video file.

    Raises:
        VideoFileError: if a file cannot be used.
        CheckpointError: if weights are missing, damaged, or another model's.
        ValueError: if the preset, the size or a parameter is not possible.
        OSError: if the new file cannot be written.
    """
    import av

    from slipstream_engine.offline.video_reader import VideoFileError

    try:
        _convert(job)
    except av.FFmpegError as error:  # of a kind that neither reader nor writer expects
        if isinstance(error, OSError):  # a full disk, say
            raise
        raise VideoFileError(
            f"FFmpeg cannot go on: {error.strerror}; remux the file to mp4 first"
        ) from error


def _convert(job: Job) -> None:
    from slipstream_engine.offline.video_reader import VideoFileError, VideoReader, examine_video
    from slipstream_engine.offline.video_writer import VideoWriter, container_format

    format = container_format(job.target)
    if not job.target.parent.is_dir():
        raise VideoFileError(f"there is no folder {job.target.parent}, make it first")
    if job.target.is_dir():
        raise VideoFileError(f"{job.target} is a folder, name a file to write")
    for path in (job.source, job.reference):
        if path is not None:
            VideoReader(path).close()
            if job.target.exists() and job.target.samefile(path):
                raise VideoFileError(f"{job.target} is what is read, name another file to write")
    with closing(load_model(job.request)) as pipeline:
        stream = pipeline.open(job.parameters)
        stream.await_prompts()
        video = examine_video(job.source, least_frames=FIRST_CHUNK_FRAMES, strict=job.strict)
        for note in video.notes:
            print(f"{job.source}: {note}", file=sys.stderr)
        if job.reference is not None:
            _check_same_length(video, examine_video(job.reference, least_frames=1))
        geometry = pipeline.geometry
        progress = Progress(total=video.frames, unit="frames", now_s=time.monotonic())
        with (
            atomic_write(job.target) as file,
            VideoReader(job.source, strict=job.strict) as source,
            VideoWriter(
                file,
                format=format,
                source=video,
                geometry=geometry,
                audio=source.audio if job.with_audio else (),
            ) as writer,
        ):
            sink = HashedFrames(writer)
            transform_video(
                source,
                sink,
                stream,
                geometry,
                on_chunk=lambda frames: progress.show(frames, now_s=time.monotonic()),
            )
        for note in writer.notes():
            print(f"{job.source}: {note}", file=sys.stderr)
        if job.manifest is not None:
            job.manifest.write_text("".join(f"{line}\n" for line in sink.hashes))


def _check_same_length(video: "VideoInfo", reference: "VideoInfo") -> None:
    if reference.frames != video.frames:
        raise ValueError(
            f"{reference.path} has {reference.frames} frames, {video.path} has {video.frames}, "
            "they must have as many to be compared"
        )


def add_v2v(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to the engine's command line."""
    parser = commands.add_parser("v2v", help="convert a video file")
    parser.add_argument("source", type=Path, metavar="IN.mp4", help="video to convert")
    parser.add_argument("target", type=Path, metavar="OUT.mp4", help="video to write, mp4 or mov")
    parser.add_argument("--prompt", required=True, help="what the new video shall look like")
    parser.add_argument("--steps", type=count, help="denoising steps (default: the preset's)")
    parser.add_argument(
        "--noise-scale", type=float, help="how far the result may differ from the source, 0 to 1"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the noise (default: 0)")
    parser.add_argument("--no-audio", action="store_true", help="leave the sound out")
    parser.add_argument(
        "--strict",
        action="store_true",
        help="refuse a damaged video (default: warn, and convert the rest)",
    )
    parser.add_argument(
        "--manifest",
        type=Path,
        metavar="FILE",
        help="write the SHA-256 of each new frame, one a line: equal frames have equal lines",
    )
    parser.add_argument(
        "--compare",
        type=Path,
        metavar="REF",
        help="measure how the new video differs from this one",
    )
    add_model_options(parser)
    parser.set_defaults(run=run_v2v)


def run_v2v(arguments: argparse.Namespace) -> int:
    """Convert a file; 1 and a reason on standard error where that is not possible."""
    try:
        import_optional("av", extra="files")
        if arguments.compare is not None:
            import_optional("cv2", extra="eval")
            import_optional("skimage", extra="eval")
        job = job_from(arguments)
        convert_video(job)
        if job.reference is not None:
            from slipstream_engine.offline.video_metrics import compare_files

            print(compare_files(job.reference, job.target).table())
    except (MissingExtraError, ValueError, OSError) as error:
        print(f"{arguments.source} cannot be converted: {error}", file=sys.stderr)
        return 1
    return 0


def job_from(arguments: argparse.Namespace) -> Job:
    """Read the command's arguments.

    Raises:
        ValueError: if a parameter is outside what any model can do, or the preset does not have
            that many steps.
    """
    given = {"prompt": arguments.prompt, "seed": arguments.seed}
    if arguments.noise_scale is not None:
        given["noise_scale"] = arguments.noise_scale
    if arguments.steps is not None:
        given["denoising_step_list"] = preset_named(arguments.preset).timesteps(arguments.steps)
    return Job(
        source=arguments.source,
        target=arguments.target,
        request=replace(model_request(arguments), threads=arguments.threads or available_cores()),
        parameters=msgspec.convert(given, Parameters),
        reference=arguments.compare,
        strict=arguments.strict,
        with_audio=not arguments.no_audio,
        manifest=arguments.manifest,
    )

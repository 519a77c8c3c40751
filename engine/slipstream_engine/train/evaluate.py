"""How good the finished model is, on clips it has never seen, streamed through the real pipeline.

For each style and clip: PSNR to the teacher, how much better that is than the best global affine
recolouring fitted on those very frames, and how much of the teacher's gradient energy is there
(PSNR is a poor judge of lines). For each colour: how much nearer to the teacher's tinted picture
than the teacher's own without the colour.

T frames, H W size; pictures are RGB float32 in [0, 1].
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from slipstream_protocol.frames import I420
from slipstream_protocol.parameters import Parameters

from slipstream_engine.codec.color import i420_from_rgb, rgb_from_i420
from slipstream_engine.diffusion.pipeline import DiffusionPipeline
from slipstream_engine.models.vae.guided_taehv import GuidedTaehv
from slipstream_engine.models.vae.taehv import TaehvState
from slipstream_engine.train.data import stylise
from slipstream_engine.train.picture_quality import gradient_ratio, psnr_db
from slipstream_engine.train.scenes import Clip, Footage, Size, travel
from slipstream_engine.train.sources import HELD_OUT, Frames, PictureSource, load_pictures
from slipstream_engine.train.styles import IDENTITY

SETTLE_FRAMES = 5  # the first chunk is judged like the others, but not for flicker
STILL_CHUNKS = 8


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class HeldOut:
    """A clip that no training saw."""

    name: str
    clip: Clip


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """One style on one clip.

    Args:
        psnr_db: of the model's picture to the teacher's.
        recolour_db: the same of the best global affine recolouring of the camera's picture.
        gradient_ratio: gradient energy, the model's over the teacher's.
    """

    style: str
    clip: str
    psnr_db: float
    recolour_db: float
    gradient_ratio: float

    @property
    def gain_db(self) -> float:
        return self.psnr_db - self.recolour_db


@dataclass(frozen=True, slots=True, kw_only=True)
class TintScore:
    """One colour of one style on one clip.

    Args:
        psnr_db: of the model's picture to the teacher's, tinted.
        unheeded_db: the same of the teacher's picture that the colour was left out of.
    """

    colour: str
    style: str
    clip: str
    psnr_db: float
    unheeded_db: float

    @property
    def gain_db(self) -> float:
        return self.psnr_db - self.unheeded_db


def held_out(size: Size, sources: Sequence[PictureSource] = HELD_OUT) -> list[HeldOut]:
    """The clips to judge by: videos as they are, photographs under a moving camera."""
    clips = []
    for number, source in enumerate(sources):
        frames = load_pictures(source)
        clip: Clip
        if source.is_clip:
            covered = np.stack([_crop_and_resize(f, size) for f in frames[30 : 30 + size.frames]])
            clip = np.asarray(covered / 255, np.float32)
        else:
            rng = np.random.default_rng([99, number])
            clip = travel(Footage(frames=frames, focus=None), size, rng)
        clips.append(HeldOut(name=source.name, clip=clip))
    return clips


def _crop_and_resize(frame: Frames, size: Size) -> Frames:
    """Crop `frame` to the aspect of `size` around its centre, and resize it."""
    rows, columns = frame.shape[:2]
    wide = min(columns, rows * size.width_px // size.height_px)
    high = min(rows, columns * size.height_px // size.width_px)
    top, left = (rows - high) // 2, (columns - wide) // 2
    cut = frame[top : top + high, left : left + wide]
    way = cv2.INTER_AREA if wide > size.width_px else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(cut, (size.width_px, size.height_px), interpolation=way), np.uint8)


def stream(pipeline: DiffusionPipeline[TaehvState], clip: Clip, parameters: Parameters) -> Clip:
    """The generated frames of `clip`, sent through a fresh stream chunk by chunk."""
    frames_THW = _frames_of(clip)
    generated_THW = np.empty_like(frames_THW)
    diffusion_stream = pipeline.open(parameters)
    at = chunk = 0
    while at + (count := pipeline.geometry.frames_of(chunk)) <= len(clip):
        diffusion_stream.step(frames_THW[at : at + count], generated_THW[at : at + count])
        at, chunk = at + count, chunk + 1
    return _clip_of(generated_THW[:at])


def as_frames_show(clip: Clip) -> Clip:
    """`clip` as it comes out of frames, in which colours have half the resolution."""
    return _clip_of(_frames_of(clip))


def _frames_of(clip: Clip) -> I420:
    rgb_TCHW = torch.from_numpy(np.ascontiguousarray(clip.transpose(0, 3, 1, 2))) * 2 - 1
    return i420_from_rgb(rgb_TCHW).numpy()


def _clip_of(frames_THW: I420) -> Clip:
    rgb_TCHW = rgb_from_i420(torch.from_numpy(frames_THW)) / 2 + 0.5
    return rgb_TCHW.permute(0, 2, 3, 1).numpy()


@torch.inference_mode()
def codec_db(codec: GuidedTaehv, clip: Clip) -> float:
    """PSNR of what latents alone keep of `clip`, streamed in one piece."""
    device = next(codec.parameters()).device
    rgb_TCHW = torch.from_numpy(np.ascontiguousarray(clip.transpose(0, 3, 1, 2))).to(device) * 2 - 1
    state = codec.fresh_state()
    decoded_TCHW = codec.decode(codec.encode(rgb_TCHW, state), state).clamp(-1, 1)
    generated, target = ((x.cpu() / 2).numpy() for x in (decoded_TCHW, rgb_TCHW))
    return psnr_db(generated, target)


def recolour_db(clip: Clip, target: Clip) -> float:
    """PSNR of the affine map of colours that fits `target` best: what needs no model."""
    colours = clip.reshape(-1, 3)
    colours = np.concatenate([colours, np.ones((len(colours), 1), np.float32)], axis=1)
    flat = target.reshape(-1, 3)
    best, *_ = np.linalg.lstsq(colours, flat, rcond=None)
    return psnr_db(np.clip(colours @ best, 0, 1), flat)


def judge(
    pipeline: DiffusionPipeline[TaehvState], style: str, held: HeldOut, parameters: Parameters
) -> tuple[Score, Clip]:
    """The score of one style on one clip, and the pictures."""
    generated = stream(pipeline, held.clip, parameters)
    clip = held.clip[: len(generated)]
    target = stylise(clip, style)
    score = Score(
        style=style,
        clip=held.name,
        psnr_db=psnr_db(generated, target),
        recolour_db=recolour_db(clip, target),
        gradient_ratio=gradient_ratio(generated, target),
    )
    return score, generated


def judge_tint(
    pipeline: DiffusionPipeline[TaehvState], colour: str, style: str, held: HeldOut
) -> TintScore:
    """The score of a style in a colour, with a prompt as a user would write it."""
    words = colour if style == IDENTITY else f"{colour} {style}"
    generated = stream(pipeline, held.clip, Parameters(prompt=words))
    clip = held.clip[: len(generated)]
    target = stylise(clip, style, colour)
    return TintScore(
        colour=colour,
        style=style,
        clip=held.name,
        psnr_db=psnr_db(generated, target),
        unheeded_db=psnr_db(stylise(clip, style), target),
    )


def flicker_levels(
    pipeline: DiffusionPipeline[TaehvState],
    frame: NDArray[np.float32],
    start: str | Parameters,
) -> float:
    """Mean change from frame to frame, in grey levels of 255, when nothing moves.

    Args:
        start: a prompt, or all parameters of the stream.
    """
    parameters = Parameters(prompt=start) if isinstance(start, str) else start
    frames = SETTLE_FRAMES + 4 * STILL_CHUNKS
    generated = stream(pipeline, np.repeat(frame[None], frames, axis=0), parameters)
    return float(np.abs(np.diff(generated[SETTLE_FRAMES:], axis=0)).mean() * 255)

"""Batches for the transformer: crops of clips, their targets, and prompt embeddings.

A sample is three latent frames: what stands in the cache (a sink, the frame before) and the present
one, or a stream's first chunk and the next.

B batch, F latent frames, c latent channels, h w latent size; T frames, H W pixels, K styles, then
colours, L text rows, E columns.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from slipstream_engine.train.codec import to_tensor
from slipstream_engine.train.data import Dataset
from slipstream_engine.train.latents import Latents
from slipstream_engine.train.styles import EMPHASIS

WINDOW_LATENTS = 3
STARTS = (2, 1)  # frames to a block: a stream's first chunk, then one more
RUNS = (1, 1, 1)  # a sink, the frame before, the present one

BLEND_SHARE = 0.15
PLAIN_SHARE = 0.08
STRANGE_SINK_SHARE = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Crop:
    """How large a part of how many clips a step sees, in latent pixels."""

    batch: int
    rows: int
    columns: int


SMALL_CROPS = Crop(batch=4, rows=12, columns=12)
WIDE_CROPS = Crop(batch=2, rows=20, columns=20)
WHOLE_CROPS = Crop(batch=1, rows=24, columns=32)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TrainingBatch:
    """One step's data.

    Args:
        blocks: frames to a block, for the causal mask.
        codes_BLE: the words, as the text encoder gives them.
        weight_BF: 0 where a frame has no target.
        target_BTHW, input_BTHW: their pictures `[B, 4F, 3, H, W]`; None in the latent phase.
    """

    blocks: tuple[int, ...]
    input_BFchw: Tensor
    target_BFchw: Tensor
    codes_BLE: Tensor
    weight_BF: Tensor
    target_BTHW: Tensor | None = None
    input_BTHW: Tensor | None = None


class Sampler:
    """Draws batches onto `device`.

    Args:
        codes_KLE: the text encoder's, in the order of the dataset's names, then of the tints.
    """

    def __init__(
        self, dataset: Dataset, latents: Latents, codes_KLE: Tensor, device: torch.device
    ) -> None:
        self._device = device
        self._dataset = dataset
        self._latents = latents
        self._codes_KLE = codes_KLE
        self._emphasis = np.array([EMPHASIS.get(name, 1.0) for name in dataset.names])

    def draw(self, rng: np.random.Generator, crop: Crop, *, pictures: bool) -> TrainingBatch:
        is_start = rng.random() < 0.5
        rows = [
            self._row(rng, crop, is_start=is_start, pictures=pictures) for _ in range(crop.batch)
        ]
        weight_BF = torch.ones(crop.batch, WINDOW_LATENTS)
        inputs = [row.input for row in rows]
        if not is_start:
            for b in np.flatnonzero(rng.random(crop.batch) < STRANGE_SINK_SHARE):
                other = inputs[int(rng.integers(crop.batch))]
                inputs[b] = torch.cat([other[:1], inputs[b][1:]])
                weight_BF[b, 0] = 0
        return TrainingBatch(
            blocks=STARTS if is_start else RUNS,
            input_BFchw=torch.stack(inputs).to(self._device),
            target_BFchw=torch.stack([row.target for row in rows]).to(self._device),
            codes_BLE=torch.stack([row.code for row in rows]).to(self._device),
            weight_BF=weight_BF.to(self._device),
            target_BTHW=self._stack([row.target_pixels for row in rows]),
            input_BTHW=self._stack([row.input_pixels for row in rows]),
        )

    def _stack(self, tensors: Sequence[Tensor | None]) -> Tensor | None:
        present = [tensor for tensor in tensors if tensor is not None]
        return torch.stack(present).to(self._device) if present else None

    def _row(
        self, rng: np.random.Generator, crop: Crop, *, is_start: bool, pictures: bool
    ) -> "_Row":
        styles = self._dataset.styles
        n = int(rng.integers(len(styles)))
        weights = self._emphasis[styles[n]]
        k = int(rng.choice(styles.shape[1], p=weights / weights.sum()))
        frames = self._frames(rng, is_start=is_start)
        height, width = self._latents.inputs_NFchw.shape[-2:]
        y, x = (
            int(rng.integers(side - want + 1))
            for side, want in ((height, crop.rows), (width, crop.columns))
        )
        cut = _Cut(n=n, frames=frames, y=y, x=x, crop=crop)
        other, share = -1, 1.0  # the input itself
        chance = rng.random()
        if chance < PLAIN_SHARE:
            share = 0.0
        elif chance < PLAIN_SHARE + BLEND_SHARE:
            share = float(rng.uniform(0.2, 0.8))
            other = int(rng.integers(-1, styles.shape[1]))
        seen = self._cut_latents(cut, -1)
        target = share * self._cut_latents(cut, k) + (1 - share) * self._cut_latents(cut, other)
        code = share * self._code(n, k) + (1 - share) * self._code(n, other)
        if not pictures:
            return _Row(input=seen, target=target, code=code)
        target_pixels = share * self._cut_pixels(cut, k) + (1 - share) * self._cut_pixels(
            cut, other
        )
        return _Row(
            input=seen,
            target=target,
            code=code,
            target_pixels=target_pixels,
            input_pixels=self._cut_pixels(cut, -1),
        )

    def _frames(self, rng: np.random.Generator, *, is_start: bool) -> tuple[int, ...]:
        if is_start:
            return (0, 1, 2) if rng.random() < 0.7 else (1, 2, 3)
        return (int(rng.integers(2)), 2, 3)

    def _code(self, n: int, k: int) -> Tensor:
        if k < 0:
            return self._codes_KLE[0]
        style, colour = int(self._dataset.styles[n, k]), int(self._dataset.tints[n, k])
        return self._codes_KLE[style] + self._codes_KLE[len(self._dataset.names) + colour]

    def _cut_latents(self, cut: "_Cut", k: int) -> Tensor:
        latents = self._latents
        clip = latents.inputs_NFchw[cut.n] if k < 0 else latents.targets_NKFchw[cut.n, k]
        rows, columns = cut.crop.rows, cut.crop.columns
        part = clip[list(cut.frames), :, cut.y : cut.y + rows, cut.x : cut.x + columns]
        return part.float()

    def _cut_pixels(self, cut: "_Cut", k: int) -> Tensor:
        clip = self._dataset.inputs[cut.n] if k < 0 else self._dataset.targets[cut.n, k]
        stride = clip.shape[1] // self._latents.inputs_NFchw.shape[-2]
        times = [
            t for f in cut.frames for t in ((0,) * 4 if f == 0 else range(4 * f - 3, 4 * f + 1))
        ]
        y, x = cut.y * stride, cut.x * stride
        part = clip[times, y : y + cut.crop.rows * stride, x : x + cut.crop.columns * stride]
        return to_tensor(part)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Cut:
    n: int
    frames: tuple[int, ...]
    y: int
    x: int
    crop: Crop


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Row:
    input: Tensor
    target: Tensor
    code: Tensor
    target_pixels: Tensor | None = None
    input_pixels: Tensor | None = None

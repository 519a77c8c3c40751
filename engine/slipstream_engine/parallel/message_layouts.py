"""What travels between two ranks as bytes: tensors of sizes that both sides know beforehand.

A message is one contiguous buffer without a header; its layout follows from the plan, the model
and the number of latent frames. Every field begins at a multiple of 64 bytes, where a tensor's own
memory would begin: on a CPU the order of a sum may depend on it.

F latent frames, c latent channels, h w latent size, S tokens of a frame, C model width, T frames, H
height, W width.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import torch
from slipstream_protocol.frames import Geometry
from slipstream_protocol.parameters import MAX_STEPS
from torch import Tensor

from slipstream_engine.parallel.message_flow import MessageFlow

_ALIGNMENT_BYTES = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageField:
    """One tensor of a message."""

    shape: tuple[int, ...]
    dtype: torch.dtype

    @property
    def room_bytes(self) -> int:
        """With what fills it up to where the next one begins."""
        size = math.prod(self.shape) * self.dtype.itemsize
        return -(-size // _ALIGNMENT_BYTES) * _ALIGNMENT_BYTES


@dataclass(frozen=True, slots=True)
class MessageLayout:
    """The fields of a message, in order."""

    fields: Mapping[str, MessageField]

    @property
    def nbytes(self) -> int:
        return sum(field.room_bytes for field in self.fields.values())

    def views(self, buffer: Tensor) -> dict[str, Tensor]:
        """The fields on the memory of a buffer, uint8, of at least `nbytes`."""
        found, start = {}, 0
        for name, field in self.fields.items():
            size = math.prod(field.shape) * field.dtype.itemsize
            found[name] = buffer[start : start + size].view(field.dtype).view(field.shape)
            start += field.room_bytes
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageLayouts:
    """The layouts of all messages of a model.

    Args:
        latents: c, h, w.
        tokens: S, C.
        dtype: of latents and tokens.
        geometry: of frames.
    """

    latents: tuple[int, int, int]
    tokens: tuple[int, int]
    dtype: torch.dtype
    geometry: Geometry

    def of_latents(self, frames: int) -> MessageLayout:
        """A chunk between two steps: `x` and the timesteps of all its steps."""
        return MessageLayout(MappingProxyType(self._latents(frames)))

    def of_activations(self, frames: int) -> MessageLayout:
        """A chunk within a step: the input of the step, too, which its end needs."""
        tokens = MessageField(shape=(frames, *self.tokens), dtype=self.dtype)
        return MessageLayout(MappingProxyType({**self._latents(frames), "tokens": tokens}))

    def of_pixels(self, frames: int) -> MessageLayout:
        """I420 frames."""
        field = MessageField(shape=(frames, *self.geometry.frame_shape), dtype=torch.uint8)
        return MessageLayout(MappingProxyType({"frames": field}))

    def largest_bytes(self, latent_frames: int) -> Mapping[MessageFlow, int]:
        """Of a message of each flow, of chunks of up to so many latent frames."""
        pixels = self.of_pixels(self.geometry.first_chunk_frames)
        return {
            MessageFlow.ENCODE: max(pixels.nbytes, self.of_latents(latent_frames).nbytes),
            MessageFlow.STEPS: self.of_activations(latent_frames).nbytes,
            MessageFlow.DECODE: pixels.nbytes,
        }

    def _latents(self, frames: int) -> dict[str, MessageField]:
        return {
            "x": MessageField(shape=(frames, *self.latents), dtype=self.dtype),
            "timesteps": MessageField(shape=(MAX_STEPS,), dtype=torch.int64),
        }

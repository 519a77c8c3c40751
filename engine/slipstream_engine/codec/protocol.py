"""The interface of a codec: pictures to latents and back, chunk by chunk.

Every codec is aligned like Wan's: the first chunk of a stream is 5 frames and 2 latent frames,
every later chunk is 4 frames and 1 latent frame. A codec whose natural unit is 4 frames to 1 latent
frame (TAEHV) repeats the first frame three times in front when it encodes the first chunk, and
drops the first three frames when it decodes it.

    state = codec.fresh_state()      # one for each stream; encode and decode share nothing in it
    latents_FCHW = codec.encode(rgb_TCHW, state)
    rgb_TCHW = codec.decode(latents_FCHW, state)

A decoder may see the frames that a chunk was encoded from beside its latents (`GuidedCodec`).

T frames, F latent frames, C channels, H height, W width, L E a prompt's rows and columns.
"""

from typing import Protocol, TypeVar, runtime_checkable

from torch import Tensor

StateT = TypeVar("StateT")


class Codec(Protocol[StateT]):
    """A streaming video autoencoder; all that it carries from chunk to chunk is in the state."""

    @property
    def stride(self) -> int:
        """Pixels to a latent pixel, in each direction."""
        ...

    @property
    def latent_channels(self) -> int: ...

    def fresh_state(self) -> StateT:
        """The state of a new stream, by which `encode` and `decode` know its first chunk."""
        ...

    def reset(self, state: StateT) -> None:
        """Make `state` equal to a fresh one; its tensors keep their addresses, which graphs use."""
        ...

    def encode(self, rgb_TCHW: Tensor, state: StateT) -> Tensor:
        """Encode the next chunk of a stream, in place on `state`.

        Args:
            rgb_TCHW: `[T, 3, H, W]` in [-1, 1], T = 5 for the first chunk and 4 for every later
                one; the codec's dtype and device; H and W multiples of the stride (and of the
                model's patch).

        Returns:
            Latents `[F, C, H / stride, W / stride]` as the diffusion model wants them, F = 2 for
            the first chunk, then 1.
        """
        ...

    def decode(self, latents_FCHW: Tensor, state: StateT) -> Tensor:
        """Decode the next chunk of a stream, in place on `state`.

        Args:
            latents_FCHW: `[F, C, h, w]`, F = 2 for the first chunk and 1 for every later one.

        Returns:
            RGB `[T, 3, h * stride, w * stride]`, not yet clamped to [-1, 1]; T = 5 for the first
            chunk, then 4.
        """
        ...


@runtime_checkable
class GuidedCodec(Codec[StateT], Protocol[StateT]):
    """A codec whose decoder sees the camera and heeds the prompt.

    A chunk keeps its frames until it is decoded. `decode` gives what the latents say by themselves.
    """

    def decode_guided(
        self, latents_FCHW: Tensor, camera_TCHW: Tensor, prompt_LE: Tensor, state: StateT
    ) -> Tensor:
        """`decode`, with more to go by.

        Args:
            camera_TCHW: the frames of the same chunk as `encode` took them.
            prompt_LE: the prompt's embedding, `[text_len, text_dim]`.
        """
        ...

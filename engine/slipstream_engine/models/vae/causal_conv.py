"""Causal convolutions in time whose past is carried by the stream, not by the module.

B batch, T frames, H rows, W columns, C channels. Tensors are `[B, T, H, W, C]`: a frame is
contiguous, a 1x1x1 convolution is a matrix product, a norm over channels runs over the last axis,
and the permuted view that a convolution wants is channels-last without a copy.
"""

from collections.abc import Callable

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional

from slipstream_engine.kernels import operators
from slipstream_engine.models.norms import ChannelNorm


class CausalState:
    """What one direction (encode or decode) of one stream carries from chunk to chunk.

    That is, for every convolution, its tail: the last frames of its input. The frames before the
    first one are zeros. A tail is allocated when its convolution first runs and keeps its address
    from then on, so that a recorded graph may write to it.

    Args:
        slots: convolutions with a past.
        is_fused: whether norms go through the fused operator, see `kernels/plain_forms.py`.
    """

    def __init__(self, slots: int, *, is_fused: bool = False) -> None:
        self.started = False
        self.is_fused = is_fused
        self._tails: list[Tensor | None] = [None] * slots

    @property
    def bytes(self) -> int:
        """Memory the tails take."""
        return sum(tail.nbytes for tail in self._tails if tail is not None)

    @property
    def addresses(self) -> list[int]:
        """Where the tails lie."""
        return [tail.data_ptr() for tail in self._tails if tail is not None]

    def reset(self) -> None:
        """Make it that of a new stream; tails keep their addresses."""
        for tail in self._tails:
            if tail is not None:
                tail.zero_()
        self.started = False

    def tail(self, slot: int, x_BTHWC: Tensor, past_frames: int) -> Tensor:
        """The past of `x_BTHWC`."""
        tail = self._tails[slot]
        if tail is None:
            batch, _, height, width, channels = x_BTHWC.shape
            tail = x_BTHWC.new_zeros(batch, past_frames, height, width, channels)
            self._tails[slot] = tail
        return tail

    def window(self, slot: int, x_BTHWC: Tensor, past_frames: int) -> Tensor:
        """A buffer for the past and the frames of `x_BTHWC`; only the past is filled in."""
        batch, frames, height, width, channels = x_BTHWC.shape
        window = x_BTHWC.new_empty(batch, past_frames + frames, height, width, channels)
        window[:, :past_frames] = self.tail(slot, x_BTHWC, past_frames)
        return window

    def store_tail(self, slot: int, window_BTHWC: Tensor) -> None:
        """Store the last frames of `window_BTHWC` as the past of the next chunk."""
        tail = self._tails[slot]
        assert tail is not None, f"slot {slot} stored before its window was made"
        tail.copy_(window_BTHWC[:, -tail.shape[1] :])


class ConvStateSlots:
    """Numbers the convolutions of one direction in the order they are built."""

    def __init__(self) -> None:
        self.count = 0

    def take(self) -> int:
        """The next number."""
        self.count += 1
        return self.count - 1


class CausalConv(nn.Conv3d):
    """A convolution that sees this frame and those before it.

    Args:
        kernel: frames, rows, columns; rows and columns are padded to keep the size.
        stride: in time.
        past_frames: of the stream's past that each chunk is convolved with.
    """

    def __init__(
        self,
        channels_in: int,
        channels_out: int,
        kernel: tuple[int, int, int],
        slots: ConvStateSlots,
        *,
        stride: int = 1,
        past_frames: int = 2,
    ) -> None:
        padding = (0, kernel[1] // 2, kernel[2] // 2)
        super().__init__(channels_in, channels_out, kernel, stride=(stride, 1, 1), padding=padding)
        self.slot = slots.take()
        self.past_frames = past_frames

    def forward(self, x_BTHWC: Tensor, state: CausalState) -> Tensor:  # type: ignore[override]  # takes the state
        return self._convolve(self.join_past(x_BTHWC, state))

    def after_norm(self, norm: ChannelNorm, x_BTHWC: Tensor, state: CausalState) -> Tensor:
        """The convolution of SiLU(norm(x)), computed into the window without a copy."""
        if state.is_fused:
            tail_BPHWC = state.tail(self.slot, x_BTHWC, self.past_frames)
            window = operators.norm_silu_window(x_BTHWC, tail_BPHWC, norm.gain_C, norm.eps)
            return self._convolve(window)
        window = state.window(self.slot, x_BTHWC, self.past_frames)
        torch.ops.aten.silu.out(norm(x_BTHWC), out=window[:, self.past_frames :])
        state.store_tail(self.slot, window)
        return self._convolve(window)

    def join_past(self, x_BTHWC: Tensor, state: CausalState) -> Tensor:
        """The past followed by `x_BTHWC`, whose last frames become the new past."""
        window = state.window(self.slot, x_BTHWC, self.past_frames)
        window[:, self.past_frames :] = x_BTHWC
        state.store_tail(self.slot, window)
        return window

    def _convolve(self, window_BTHWC: Tensor) -> Tensor:
        out = super().forward(window_BTHWC.permute(0, 4, 1, 2, 3))
        return out.permute(0, 2, 3, 4, 1)


class PointConv(nn.Conv3d):
    """A 1x1x1 convolution, as the matrix product it is."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__(channels_in, channels_out, 1)

    def forward(self, x_BTHWC: Tensor) -> Tensor:
        return functional.linear(x_BTHWC, self.weight.flatten(1), self.bias)


def per_frame(layer: Callable[[Tensor], Tensor], x_BTHWC: Tensor) -> Tensor:
    """`layer`, which maps `[N, C, H, W]`, over every frame on its own."""
    batch, frames = x_BTHWC.shape[:2]
    out_NCHW = layer(x_BTHWC.flatten(0, 1).permute(0, 3, 1, 2))
    return rearrange(out_NCHW, "(b t) c h w -> b t h w c", b=batch, t=frames)

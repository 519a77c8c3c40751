"""A TAEHV-class codec: a small streaming video autoencoder, 4 frames to a latent frame.

The class is taew2_1's (Wan's latent space, `spec/05` part B); the embedded default shares its
encoder. Streaming is exact: every memory block keeps its last input frame in the stream's state, so
a clip in pieces gives what the clip at once gives.

B batch, T frames, F latent frames, C channels, H height, W width. Pixels are RGB, in [-1, 1] in
`encode` and `decode` (`codec/protocol.py`) and in [0, 1] in the layers.
"""

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from slipstream_engine.models.vae.taehv_config import FRAMES_TO_TRIM, EncoderParams, TaehvParams
from slipstream_engine.models.vae.taehv_layers import (
    Clamp,
    Conv,
    MemBlock,
    NearestUpsample,
    PixelUnshuffle,
    TGrow,
    TPool,
)


@dataclass(slots=True, kw_only=True, eq=False)
class TaehvState:
    """A stream's state.

    Args:
        encoder, decoder: the last input frame of each memory block, by the block's index.
    """

    encoder: dict[int, Tensor] = field(default_factory=dict)
    decoder: dict[int, Tensor] = field(default_factory=dict)
    has_encoded: bool = False
    has_decoded: bool = False


class TaehvEncoder(nn.Module):
    """The encoder; see the module and `codec/protocol.py` for layouts and the order of calls."""

    def __init__(self, params: EncoderParams) -> None:
        super().__init__()
        self.encoder = nn.Sequential(*_encoder(params))
        self._stride = params.stride
        self._latent_channels = params.latent_channels

    @property
    def stride(self) -> int:
        return self._stride

    @property
    def latent_channels(self) -> int:
        return self._latent_channels

    def fresh_state(self) -> TaehvState:
        return TaehvState()

    def reset(self, state: TaehvState) -> None:
        for last_BTCHW in (*state.encoder.values(), *state.decoder.values()):
            last_BTCHW.zero_()
        state.has_encoded = state.has_decoded = False

    def encode(self, rgb_TCHW: Tensor, state: TaehvState) -> Tensor:
        """Encode the next chunk of a stream, see `Codec.encode` in `codec/protocol.py`.

        Raises:
            ValueError: if the frames do not make whole latent frames and whole latent pixels.
        """
        frames, _, height, width = rgb_TCHW.shape
        first = 0 if state.has_encoded else 1
        if (frames - first) % 4 or frames == first or height % self.stride or width % self.stride:
            raise ValueError(
                f"chunk is {frames} frames of {width}x{height}, it must be {first} + 4k frames "
                f"with sides that are multiples of {self.stride}"
            )
        pixels_TCHW = (rgb_TCHW + 1) / 2
        if not state.has_encoded:
            pixels_TCHW = begin_clip(pixels_TCHW)
        state.has_encoded = True
        return self.encode_clip(pixels_TCHW[None], state.encoder)[0]

    def encode_clip(self, x_BTCHW: Tensor, memory: dict[int, Tensor]) -> Tensor:
        """Frames `[B, 4F, 3, H, W]` in [0, 1] to latents `[B, F, C, h, w]`; updates `memory`."""
        return _run(self.encoder, x_BTCHW, memory)


class Taehv(TaehvEncoder):
    """The codec."""

    def __init__(self, params: TaehvParams) -> None:
        super().__init__(params)
        self.decoder = nn.Sequential(*_decoder(params))

    def decode(self, latents_FCHW: Tensor, state: TaehvState) -> Tensor:
        """Decode the next chunk of a stream, see `Codec.decode` in `codec/protocol.py`."""
        return trim_clip(self.decode_clip(latents_FCHW[None], state.decoder)[0], state) * 2 - 1

    def decode_clip(self, z_BFCHW: Tensor, memory: dict[int, Tensor]) -> Tensor:
        """Latents `[B, F, C, h, w]` to frames `[B, 4F, 3, H, W]`; updates `memory`."""
        return _run(self.decoder, z_BFCHW, memory)


def begin_clip(pixels_TCHW: Tensor) -> Tensor:
    """A stream's first frames, the first of them repeated until they make whole latent frames."""
    return torch.cat([pixels_TCHW[:1]] * FRAMES_TO_TRIM + [pixels_TCHW])


def trim_clip(pixels_TCHW: Tensor, state: TaehvState) -> Tensor:
    """Decoded frames without those before a stream's first; updates `state`."""
    first = 0 if state.has_decoded else FRAMES_TO_TRIM
    state.has_decoded = True
    return pixels_TCHW[first:]


def _run(layers: nn.Sequential, x_BTCHW: Tensor, memory: dict[int, Tensor]) -> Tensor:
    for index, layer in enumerate(layers):
        if isinstance(layer, MemBlock) and layer.memory:
            past_BTCHW = _past(x_BTCHW, memory, index)
            x_BTCHW = layer(x_BTCHW, past_BTCHW)
        else:
            x_BTCHW = layer(x_BTCHW)
    return x_BTCHW


def _past(x_BTCHW: Tensor, memory: dict[int, Tensor], index: int) -> Tensor:
    """The frame before each frame; the last one is stored for the next piece, in place."""
    newest_B1CHW = x_BTCHW[:, -1:]
    stored_B1CHW = memory.get(index)
    before_B1CHW = torch.zeros_like(newest_B1CHW) if stored_B1CHW is None else stored_B1CHW
    past_BTCHW = torch.cat([before_B1CHW, x_BTCHW[:, :-1]], dim=1)
    if stored_B1CHW is None:
        memory[index] = newest_B1CHW.clone()
    else:
        stored_B1CHW.copy_(newest_B1CHW)  # its address stays, for CUDA graphs
    return past_BTCHW


def _encoder(params: EncoderParams) -> list[nn.Module]:
    width, slope, convs = params.encoder_width, params.slope, params.block_convs
    layers: list[nn.Module] = [PixelUnshuffle(params.patch)] if params.patch > 1 else []
    layers += [Conv(3 * params.patch**2, width), nn.LeakyReLU(slope)]
    for stage in params.encoder:
        layers += [
            TPool(width, stage.width, time=stage.time),
            Conv(stage.width, stage.width, stride=stage.space, bias=False),
            *(
                MemBlock(stage.width, convs=convs, memory=params.encoder_memory, slope=slope)
                for _ in range(stage.blocks)
            ),
        ]
        width = stage.width
    return [*layers, Conv(width, params.latent_channels)]


def _decoder(params: TaehvParams) -> list[nn.Module]:
    widths = [stage.width for stage in params.decoder] + [params.decoder_width]
    slope, convs = params.slope, params.block_convs
    layers: list[nn.Module] = [
        Clamp(params.clamp),
        Conv(params.latent_channels, widths[0]),
        nn.LeakyReLU(slope),
    ]
    for stage, width in zip(params.decoder, widths[1:], strict=True):
        layers += [
            *(
                MemBlock(stage.width, convs=convs, memory=True, slope=slope)
                for _ in range(stage.blocks)
            ),
            NearestUpsample(stage.space),
            TGrow(stage.width, stage.width, time=stage.time),
            Conv(stage.width, width, bias=False),
        ]
    return [*layers, nn.LeakyReLU(slope), Conv(params.decoder_width, 3)]

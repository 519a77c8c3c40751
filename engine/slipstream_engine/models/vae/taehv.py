"""A TAEHV-class codec: a small streaming video autoencoder, 4 frames to a latent frame.

One class serves taew2_1 (Wan's latent space, `spec/05` part B) and the embedded default, whose
config adds what a very small codec needs to learn well: pixel blocks instead of pixels, a linear
path beside the convolutions, and leaky units. Streaming is exact: every memory block keeps its last
input frame in the stream's state, so a clip in pieces gives what the clip at once gives.

B batch, T frames, F latent frames, C channels, H height, W width. Pixels are RGB, in [-1, 1] in
`encode` and `decode` (`codec/protocol.py`) and in [0, 1] in the layers.
"""

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from slipstream_engine.models.vae.taehv_config import FRAMES_TO_TRIM, TaehvParams
from slipstream_engine.models.vae.taehv_layers import (
    Clamp,
    Conv,
    LinearPath,
    MemBlock,
    NearestUpsample,
    PixelShuffle,
    PixelUnshuffle,
    TGrow,
    TPool,
    deblock,
    deflicker,
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


class Taehv(nn.Module):
    """The codec; see the module and `codec/protocol.py` for layouts and the order of calls."""

    def __init__(self, params: TaehvParams) -> None:
        super().__init__()
        self.params = params
        self.encoder = nn.Sequential(*_encoder(params))
        self.decoder = nn.Sequential(*_decoder(params))
        self.linear = LinearPath(params) if params.linear_skip else None

    @property
    def stride(self) -> int:
        return self.params.stride

    @property
    def latent_channels(self) -> int:
        return self.params.latent_channels

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
            pixels_TCHW = torch.cat([pixels_TCHW[:1]] * FRAMES_TO_TRIM + [pixels_TCHW])
        state.has_encoded = True
        return self.encode_clip(pixels_TCHW[None], state.encoder)[0]

    def decode(self, latents_FCHW: Tensor, state: TaehvState) -> Tensor:
        """Decode the next chunk of a stream, see `Codec.decode` in `codec/protocol.py`."""
        return self.decode_chunk(latents_FCHW, state) * 2 - 1

    def decode_chunk(self, latents_FCHW: Tensor, state: TaehvState) -> Tensor:
        """`decode`, in [0, 1]."""
        pixels_TCHW = self.decode_clip(latents_FCHW[None], state.decoder)[0]
        if not state.has_decoded:
            pixels_TCHW = pixels_TCHW[FRAMES_TO_TRIM:]
        state.has_decoded = True
        return pixels_TCHW

    def encode_clip(self, x_BTCHW: Tensor, memory: dict[int, Tensor]) -> Tensor:
        """Frames `[B, 4F, 3, H, W]` in [0, 1] to latents `[B, F, C, h, w]`; updates `memory`."""
        z_BFCHW = _run(self.encoder, x_BTCHW, memory)
        return z_BFCHW if self.linear is None else z_BFCHW + self.linear.encode(x_BTCHW)

    def decode_clip(self, z_BFCHW: Tensor, memory: dict[int, Tensor]) -> Tensor:
        """Latents `[B, F, C, h, w]` to frames `[B, 4F, 3, H, W]`; updates `memory`."""
        x_BTCHW = _run(self.decoder, z_BFCHW, memory)
        if self.linear is not None:
            x_BTCHW = x_BTCHW + self.linear.decode(z_BFCHW)
        if self.params.calm:
            x_BTCHW = deflicker(x_BTCHW, self.params.calm, self.stride)
        return deblock(x_BTCHW, self.stride) if self.params.deblock else x_BTCHW


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


def _encoder(params: TaehvParams) -> list[nn.Module]:
    width = params.encoder_width
    layers: list[nn.Module] = [PixelUnshuffle(params.patch)] if params.patch > 1 else []
    layers += [Conv(3 * params.patch**2, width), nn.LeakyReLU(params.slope)]
    for stage in params.encoder:
        layers += [
            TPool(width, stage.width, time=stage.time),
            Conv(stage.width, stage.width, stride=stage.space, bias=False),
            *_blocks(params, stage.width, stage.blocks, memory=params.encoder_memory),
        ]
        width = stage.width
    return [*layers, Conv(width, params.latent_channels)]


def _decoder(params: TaehvParams) -> list[nn.Module]:
    widths = [stage.width for stage in params.decoder] + [params.decoder_width]
    layers: list[nn.Module] = [
        Clamp(params.clamp),
        Conv(params.latent_channels, widths[0]),
        nn.LeakyReLU(params.slope),
    ]
    for stage, width in zip(params.decoder, widths[1:], strict=True):
        layers += _blocks(params, stage.width, stage.blocks, memory=params.decoder_memory)
        if params.fold:
            layers.append(TGrow(stage.width, width, time=stage.time, space=stage.space))
        else:
            layers += [
                NearestUpsample(stage.space),
                TGrow(stage.width, stage.width, time=stage.time),
                Conv(stage.width, width, bias=False),
            ]
    tail = _blocks(params, params.decoder_width, params.tail_blocks, memory=params.decoder_memory)
    layers += [*tail, nn.LeakyReLU(params.slope), Conv(params.decoder_width, 3 * params.patch**2)]
    return [*layers, PixelShuffle(params.patch)] if params.patch > 1 else layers


def _blocks(params: TaehvParams, width: int, count: int, *, memory: bool) -> list[nn.Module]:
    return [
        MemBlock(width, convs=params.block_convs, memory=memory, slope=params.slope)
        for _ in range(count)
    ]

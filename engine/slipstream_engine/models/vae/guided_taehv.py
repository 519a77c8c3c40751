"""The embedded default's codec: an encoder of the TAEHV class, and a decoder that sees the camera.

Beside the encoder's convolutions runs a linear map of whole blocks of pixels, which is where a very
small codec begins to learn; its way back is what the decoder begins with.

B batch, T frames, F latent frames, C channels, H height, W width, L E a prompt's rows and columns.
"""

from torch import Tensor

from slipstream_engine.models.vae.camera_decoder import CameraDecoder
from slipstream_engine.models.vae.taehv import TaehvEncoder, TaehvState, begin_clip, trim_clip
from slipstream_engine.models.vae.taehv_config import GuidedParams
from slipstream_engine.models.vae.taehv_layers import LinearPath, deflicker


class GuidedTaehv(TaehvEncoder):
    """A `GuidedCodec`; see `codec/protocol.py` for layouts and the order of calls."""

    def __init__(self, params: GuidedParams) -> None:
        super().__init__(params)
        self.params = params
        self.linear = LinearPath(latent_channels=params.latent_channels, stride=params.stride)
        self.decoder = CameraDecoder(params.decoder, stride=params.stride)

    def encode_clip(self, x_BTCHW: Tensor, memory: dict[int, Tensor]) -> Tensor:
        """Frames `[B, 4F, 3, H, W]` in [0, 1] to latents `[B, F, C, h, w]`; updates `memory`."""
        return super().encode_clip(x_BTCHW, memory) + self.linear.encode(x_BTCHW)

    def decode(self, latents_FCHW: Tensor, state: TaehvState) -> Tensor:
        """What the latents say by themselves, see `Codec.decode` in `codec/protocol.py`."""
        return trim_clip(self.linear.decode(latents_FCHW[None])[0], state) * 2 - 1

    def decode_guided(
        self, latents_FCHW: Tensor, camera_TCHW: Tensor, prompt_LE: Tensor, state: TaehvState
    ) -> Tensor:
        """Decode a chunk, see `GuidedCodec.decode_guided` in `codec/protocol.py`."""
        camera_TCHW = (camera_TCHW + 1) / 2
        if not state.has_decoded:
            camera_TCHW = begin_clip(camera_TCHW)
        pixels_TCHW = self.decode_clip(latents_FCHW[None], camera_TCHW[None], prompt_LE[None])[0]
        return trim_clip(pixels_TCHW, state) * 2 - 1

    def decode_clip(self, z_BFCHW: Tensor, camera_BTCHW: Tensor, prompt_BLE: Tensor) -> Tensor:
        """Latents `[B, F, C, h, w]` and frames in [0, 1] to frames `[B, 4F, 3, H, W]`.

        As far as nothing moves in them the camera's are averaged first: the noise of a sensor
        would come out as flicker.
        """
        calm, stride = self.params.calm, self.stride
        camera_BTCHW = deflicker(camera_BTCHW, calm, stride)
        colours_BTChw = self.linear.colours(z_BFCHW)
        drawn_BTCHW = self.decoder(colours_BTChw, camera_BTCHW, prompt_BLE.flatten(1))
        return deflicker(drawn_BTCHW, calm, stride)

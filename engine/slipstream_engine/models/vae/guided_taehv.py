"""The embedded default's codec: of the TAEHV class, with a decoder that sees the camera.

T frames, F latent frames, C channels, H height, W width.
"""

import torch
from torch import Tensor

from slipstream_engine.models.vae.redraw import redraw
from slipstream_engine.models.vae.taehv import Taehv, TaehvState
from slipstream_engine.models.vae.taehv_config import FRAMES_TO_TRIM
from slipstream_engine.models.vae.taehv_layers import deflicker


class GuidedTaehv(Taehv):
    """A `GuidedCodec` (`codec/protocol.py`); its weights are those of the codec it extends."""

    def decode_guided(self, latents_FCHW: Tensor, camera_TCHW: Tensor, state: TaehvState) -> Tensor:
        """Decode a chunk and redraw each latent frame's pictures by the camera's.

        As far as nothing moves in them the camera's are averaged first: the noise of a sensor
        would come out as flicker.
        """
        frames = FRAMES_TO_TRIM + 1
        # the first latent frame of a stream is one picture
        counts = [frames if state.has_decoded else 1, *[frames] * (len(latents_FCHW) - 1)]
        decoded_TCHW = self.decode_chunk(latents_FCHW, state)
        camera_TCHW = (camera_TCHW + 1) / 2
        redrawn = [
            redraw(decoded, self._calm(camera), self.stride)
            for decoded, camera in zip(
                decoded_TCHW.split(counts), camera_TCHW.split(counts), strict=True
            )
        ]
        return torch.cat(redrawn).mul_(2).sub_(1)

    def _calm(self, camera_TCHW: Tensor) -> Tensor:
        if len(camera_TCHW) == 1:
            return camera_TCHW
        return deflicker(camera_TCHW[None], self.params.calm, self.stride)[0]

"""The codec stage: principal components first, then convolutions that add what a linear map cannot.

The decoder sees the camera's clip and the prompt beside the latents of what is to be drawn. What is
beside the linear path ends in zeros, so training starts exactly at the linear codec and can only
gain; leaky units keep the encoder alive, and the share of live channels is checked as it goes.

N blocks, B batch, T frames, C channels, H height, W width, K styles, then colours, L E a prompt's
rows and columns; RGB in [0, 1].
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from slipstream_engine.models.vae.guided_taehv import GuidedTaehv
from slipstream_engine.models.vae.taehv_config import FRAMES_TO_TRIM, TINY, GuidedParams
from slipstream_engine.models.vae.taehv_layers import MemBlock, blocks
from slipstream_engine.train.data import CLIP_FRAMES, NAMES, Dataset
from slipstream_engine.train.fit import Recipe, fit
from slipstream_engine.train.losses import picture_loss

CROP_PX = 96
SAMPLE_FRAMES = 8
BATCH = 6
LEAST_LIVE = 0.5
MOTION = 2.0  # moving components are taken before still ones of this much more variance
DULL = 1e-3  # a channel whose deviation is below this share of the largest carries nothing


def make_codec(
    dataset: Dataset, codes_KLE: Tensor, params: GuidedParams = TINY, *, seed: int
) -> GuidedTaehv:
    """A codec that is its linear path alone: fitted components, convolutions that say nothing."""
    torch.manual_seed(seed)
    codec = GuidedTaehv(params)
    _quiet(codec)
    codec.decoder.start(codes_KLE.flatten(1))
    rng = np.random.default_rng([seed, 3])
    crop_px = min(64, dataset.inputs.shape[2])
    samples = [
        sample(dataset, rng, batch=16, frames=4, crop_px=crop_px).drawn_BTCHW for _ in range(40)
    ]
    fit_linear(codec, torch.cat([blocks(x, params.stride).flatten(0, 1) for x in samples]))
    return codec


def _quiet(codec: GuidedTaehv) -> None:
    convs = [module for module in codec.encoder.modules() if isinstance(module, nn.Conv2d)]
    for conv in convs:
        nn.init.kaiming_normal_(conv.weight, a=codec.params.slope)
        if conv.bias is not None:
            nn.init.zeros_(conv.bias)
    for block in codec.encoder.modules():
        if isinstance(block, MemBlock):
            last = block.conv[-1]
            assert isinstance(last, nn.Conv2d)
            last.weight.data.mul_(0.1)
    nn.init.zeros_(convs[-1].weight)


@torch.no_grad()
def fit_linear(codec: GuidedTaehv, blocks_NChw: Tensor) -> None:
    """Principal components of pixel blocks, latents scaled to the root of their relative spread.

    Components of what stands still in a block and of what moves are found apart, so that a still
    picture has zeros in the latter: a model can keep it still by saying nothing there.
    """
    linear = codec.linear
    assert linear is not None, "the config has no linear path"
    values_NC = blocks_NChw.permute(0, 2, 3, 1).flatten(0, 2).double()
    mean_C = values_NC.mean(dim=0)
    still_CC = _still(values_NC.shape[1]).to(values_NC)
    covariance_CC = torch.cov(values_NC.T)
    found = [
        torch.linalg.eigh(part_CC @ covariance_CC @ part_CC)
        for part_CC in (still_CC, torch.eye(len(still_CC)).to(still_CC) - still_CC)
    ]
    best = torch.cat([found[0][0], MOTION * found[1][0]]).argsort(descending=True)
    basis_CK = torch.cat([vectors for _, vectors in found], dim=1)[:, best][
        :, : codec.latent_channels
    ]
    spread_K = ((values_NC - mean_C) @ basis_CK).std(dim=0)
    # large components stay larger than small ones, but only by the root
    gain_K = (spread_K / spread_K.mean()).sqrt() / spread_K
    down = basis_CK.T * gain_K[:, None]
    linear.down.weight.copy_(down[:, :, None, None])
    assert linear.down.bias is not None and linear.up.bias is not None
    linear.down.bias.copy_(-(down @ mean_C))
    linear.up.weight.copy_((basis_CK / gain_K)[:, :, None, None])
    linear.up.bias.copy_(mean_C)
    linear.requires_grad_(False)


def _still(values: int) -> Tensor:
    """The projection of a block's values, frames outermost, on their mean over time."""
    frames = FRAMES_TO_TRIM + 1
    return torch.kron(torch.full((frames, frames), 1 / frames), torch.eye(values // frames))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CodecBatch:
    """Random crops.

    Args:
        drawn_BTCHW: of targets, and of inputs as they are.
        camera_BTCHW: of the inputs that they were made of.
        names_B, tints_B: the numbers of their styles and colours.
    """

    drawn_BTCHW: Tensor
    camera_BTCHW: Tensor
    names_B: Tensor
    tints_B: Tensor

    def prompts(self, codes_KLE: Tensor) -> Tensor:
        """Their prompts' embeddings, `[B, L, E]`; of codes as `text.codes` gives them."""
        return codes_KLE[self.names_B] + codes_KLE[len(NAMES) + self.tints_B]


def sample(
    dataset: Dataset, rng: np.random.Generator, *, batch: int, frames: int, crop_px: int
) -> CodecBatch:
    """Draw a batch; some of its clips begin as a stream does."""
    clips, targets = dataset.styles.shape
    height, width = dataset.inputs.shape[2:4]
    drawn: list[NDArray[np.uint8]] = []
    camera: list[NDArray[np.uint8]] = []
    names, tints = [], []
    for _ in range(batch):
        n, k = int(rng.integers(clips)), int(rng.integers(-2, targets))
        y, x = (int(rng.integers(0, side - crop_px + 1)) // 8 * 8 for side in (height, width))
        at = int(rng.integers(0, CLIP_FRAMES - frames + 1))
        times = np.arange(at, at + frames)
        if rng.random() < 0.1:
            times = np.concatenate([times[:1].repeat(4), times[1:]])[:frames]
        target = dataset.inputs[n] if k < 0 else dataset.targets[n, k]
        for clip, cuts in ((target, drawn), (dataset.inputs[n], camera)):
            cuts.append(clip[times, y : y + crop_px, x : x + crop_px])
        names.append(0 if k < 0 else int(dataset.styles[n, k]))
        tints.append(0 if k < 0 else int(dataset.tints[n, k]))
    return CodecBatch(
        drawn_BTCHW=to_tensor(np.stack(drawn)),
        camera_BTCHW=to_tensor(np.stack(camera)),
        names_B=torch.tensor(names),
        tints_B=torch.tensor(tints),
    )


def to_tensor(frames_BTHWC: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> Tensor:
    """uint8 `[..., H, W, 3]` to float `[..., 3, H, W]` in [0, 1]."""
    return torch.from_numpy(np.array(frames_BTHWC)).movedim(-1, -3).float() / 255


@contextmanager
def watch_units(model: nn.Module) -> Iterator[list[float]]:
    """Collect, for each unit of `model` that runs inside, its share of channels that vary."""
    shares: list[float] = []

    def note(_: nn.Module, __: object, out: Tensor) -> None:
        spread_C = out.detach().transpose(0, -3).flatten(1).std(dim=1)
        shares.append(float((spread_C > DULL * spread_C.max()).float().mean()))

    hooks = [m.register_forward_hook(note) for m in model.modules() if isinstance(m, nn.LeakyReLU)]
    try:
        yield shares
    finally:
        for hook in hooks:
            hook.remove()


def check_units_alive(shares: Sequence[float]) -> float:
    """The least of the shares of live channels that `watch_units` has collected.

    Raises:
        RuntimeError: if it is too small; training on would be in vain.
    """
    least = min(shares)
    if least <= LEAST_LIVE:
        raise RuntimeError(
            f"{least:.0%} of the channels of a codec layer are alive, it must be over "
            f"{LEAST_LIVE:.0%}: lower the learning rate"
        )
    return least


def train_codec(
    codec: GuidedTaehv, dataset: Dataset, codes_KLE: Tensor, recipe: Recipe, checkpoint: Path
) -> list[float]:
    """Train all but the linear path of `codec`; the losses as `fit` returns them."""
    crop_px = min(CROP_PX, dataset.inputs.shape[2])
    device = next(codec.parameters()).device

    def loss(step: int, rng: np.random.Generator) -> Tensor:
        batch = sample(dataset, rng, batch=BATCH, frames=SAMPLE_FRAMES, crop_px=crop_px)
        drawn_BTCHW, camera_BTCHW = (x.to(device) for x in (batch.drawn_BTCHW, batch.camera_BTCHW))
        prompt_BLE = batch.prompts(codes_KLE).to(device)
        with watch_units(codec.encoder) as shares:
            latents_BFchw = codec.encode_clip(drawn_BTCHW, {})
            decoded_BTCHW = codec.decode_clip(latents_BFchw, camera_BTCHW, prompt_BLE)
        if step % recipe.log_every == 0 and step:
            print(f"codec: live channels {check_units_alive(shares):.2f}", flush=True)
        return picture_loss(decoded_BTCHW, drawn_BTCHW)

    return fit("codec", codec, loss, recipe, checkpoint)

"""The transformer's stage: it learns to predict the stylised clip, as it is run by the pipeline.

Half of the batches have the same noise in every frame, the others fresh noise. The noise scale is
drawn from the whole range of the live control, and the timestep is the one that the pipeline feeds.
One batch in eight is a second step: the model's own output, renoised a little.

There are two phases: latents against latents, until colours and lines are there; then decoded
frames against target frames, where the decoder, which sees the camera's, is trained too. Crops are
small at first and larger at the end.

B batch, F latent frames, c latent channels, h w latent size; T frames, H W pixels.
"""

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from slipstream_engine.config import ScheduleParams
from slipstream_engine.diffusion.flow_matching import FlowSchedule, add_noise, mix_noise
from slipstream_engine.models.dit.transformer import CausalDit
from slipstream_engine.models.vae.guided_taehv import GuidedTaehv
from slipstream_engine.train.batches import WINDOW_LATENTS, Crop, Sampler, TrainingBatch
from slipstream_engine.train.fit import Recipe, fit
from slipstream_engine.train.losses import grid_loss, line_loss, picture_loss

BETA = 0.3  # error at which the latent loss turns from quadratic to linear
SECOND_STEP_SHARE = 0.12
LINES = 0.1  # weight of line_loss; much more of it draws lines that are not there
GRID = 64.0  # weight of grid_loss


class Student(nn.Module):
    """The transformer with the codec's decoder behind it, run as the pipeline runs them."""

    def __init__(self, dit: CausalDit, codec: GuidedTaehv, schedule: ScheduleParams) -> None:
        super().__init__()
        self.dit = dit
        self.codec = codec
        self.schedule_params = schedule
        self._schedule = FlowSchedule(schedule, dit.device)

    def first_step(self, batch: TrainingBatch, rng: np.random.Generator) -> Tensor:
        """The clean latents that the model predicts from a batch of noised inputs."""
        size, frames = batch.input_BFchw.shape[:2]
        low, high = self.schedule_params.noise_scale_range
        drawn = rng.uniform(low, high, (size, 1)) + rng.uniform(-0.03, 0.03, (size, frames))
        scale_BF = torch.from_numpy(np.clip(drawn, low, high)).to(self.dit.device)
        noise = self._noise(batch, rng)
        x_BFchw = mix_noise(batch.input_BFchw, noise, scale_BF[..., None, None, None])
        return self._clean(x_BFchw, self._schedule.first_timestep(scale_BF), batch)

    def second_step(self, batch: TrainingBatch, rng: np.random.Generator) -> Tensor:
        """The clean latents predicted from the model's own, renoised as between two steps."""
        with torch.no_grad():
            own_BFchw = self.first_step(batch, rng)
        later = self.schedule_params.step_list[1:]
        t_BF = torch.from_numpy(rng.choice(later, (len(own_BFchw), 1))).to(self.dit.device)
        t_BF = t_BF.expand(-1, WINDOW_LATENTS)
        sigma = self._schedule.renoise_sigma(t_BF)[..., None, None, None]
        return self._clean(add_noise(own_BFchw, self._noise(batch, rng), sigma), t_BF, batch)

    def _noise(self, batch: TrainingBatch, rng: np.random.Generator) -> Tensor:
        seed = int(rng.integers(2**62))
        generator = torch.Generator(self.dit.device).manual_seed(seed)
        noise = torch.randn(batch.input_BFchw.shape, generator=generator, device=self.dit.device)
        if rng.random() < 0.5:
            noise = noise[:, :1].expand_as(noise)
        return noise

    def _clean(self, x_BFchw: Tensor, t_BF: Tensor, batch: TrainingBatch) -> Tensor:
        height, width = x_BFchw.shape[-2:]
        context = self.dit.clip_context(batch.blocks, height=height, width=width)
        flow: Tensor = self.dit(x_BFchw, t_BF, self.dit.condition(batch.codes_BLE), context)
        return x_BFchw - self._schedule.sigma(t_BF)[..., None, None, None] * flow


def latent_loss(predicted_BFchw: Tensor, batch: TrainingBatch) -> Tensor:
    """Smooth absolute error, so that the many dull blocks do not outweigh the few with lines."""
    error_BF = F.smooth_l1_loss(predicted_BFchw, batch.target_BFchw, beta=BETA, reduction="none")
    error_BF = error_BF.mean(dim=(2, 3, 4))
    return (error_BF * batch.weight_BF).sum() / batch.weight_BF.sum()


def train_latents(
    student: Student,
    sampler: Sampler,
    recipe: Recipe,
    checkpoint: Path,
    *,
    crops: tuple[Crop, Crop],
) -> list[float]:
    """The first phase; three steps of four see the first crop."""
    student.codec.requires_grad_(False)

    def loss(step: int, rng: np.random.Generator) -> Tensor:
        batch = sampler.draw(rng, crops[step % 4 == 3], pictures=False)
        return latent_loss(_predict(student, batch, rng), batch)

    return fit("dit latents", student, loss, recipe, checkpoint)


def train_pictures(
    student: Student,
    sampler: Sampler,
    recipe: Recipe,
    checkpoint: Path,
    *,
    crops: tuple[Crop, Crop],
) -> list[float]:
    """What comes after: transformer and decoder together, on decoded pictures."""
    student.codec.decoder.requires_grad_(True)

    def loss(step: int, rng: np.random.Generator) -> Tensor:
        batch = sampler.draw(rng, crops[step % 4 == 3], pictures=True)
        predicted_BFchw = _predict(student, batch, rng)
        assert batch.target_BTHW is not None and batch.input_BTHW is not None
        decoded_BTHW = student.codec.decode_clip(predicted_BFchw, batch.input_BTHW, batch.codes_BLE)
        # frames without a target do not count: their target is what was decoded
        target_BTHW = torch.where(
            batch.weight_BF.repeat_interleave(4, dim=1)[..., None, None, None] > 0,
            batch.target_BTHW,
            decoded_BTHW.detach(),
        )
        total = picture_loss(decoded_BTHW, target_BTHW) + 0.1 * latent_loss(predicted_BFchw, batch)
        total = total + LINES * line_loss(decoded_BTHW, target_BTHW)
        return total + GRID * grid_loss(decoded_BTHW, target_BTHW)

    return fit("dit pictures", student, loss, recipe, checkpoint)


def _predict(student: Student, batch: TrainingBatch, rng: np.random.Generator) -> Tensor:
    if rng.random() < SECOND_STEP_SHARE:
        return student.second_step(batch, rng)
    return student.first_step(batch, rng)

"""A stream's state between chunks."""

from dataclasses import dataclass, field, replace
from typing import Generic, Self, TypeVar

import torch
from msgspec import UnsetType
from slipstream_protocol.parameters import Parameters
from torch import Tensor

from slipstream_engine.conditioning.prompts import PromptChange, PromptTrack
from slipstream_engine.config import ScheduleParams
from slipstream_engine.diffusion.cuda_graphs import GraphRunner
from slipstream_engine.diffusion.step_cache import StepCache
from slipstream_engine.models.dit.blocks import Conditioning

CodecStateT = TypeVar("CodecStateT")
ValueT = TypeVar("ValueT")


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamSettings:
    """The values a viewer has chosen, prompts left out."""

    step_list: tuple[int, ...]
    noise_scale: float
    noise_controller: bool
    seed: int

    def changed(self, parameters: Parameters, schedule: ScheduleParams) -> Self:
        """A copy with the values that `parameters` sets.

        Raises:
            ValueError: if the model has not so many steps, or a timestep or noise scale lies
                outside its range.
        """
        settings = replace(
            self,
            step_list=_value_or(parameters.denoising_step_list, self.step_list),
            noise_scale=_value_or(parameters.noise_scale, self.noise_scale),
            noise_controller=_value_or(parameters.noise_controller, self.noise_controller),
            seed=_value_or(parameters.seed, self.seed),
        )
        most = len(schedule.step_list)
        if len(settings.step_list) > most:
            raise ValueError(
                f"denoising_step_list has {len(settings.step_list)} steps, the most is {most}; "
                "name fewer timesteps"
            )
        if settings.step_list[-1] <= schedule.renoise_offset:
            raise ValueError(
                f"denoising_step_list ends at {settings.step_list[-1]}, "
                f"this model's timesteps lie above {schedule.renoise_offset}; end with a larger one"
            )
        low, high = schedule.noise_scale_range
        if not low <= settings.noise_scale <= high:
            raise ValueError(
                f"noise_scale is {settings.noise_scale:g}, this model takes {low:g} to {high:g}"
            )
        return settings


class StaticConditioning:
    """A conditioning at fixed addresses, where a stream's recorded graphs read it.

    Attributes:
        conditioning: at those addresses; None before the first `load`.
    """

    def __init__(self) -> None:
        self.conditioning: Conditioning | None = None
        self._source: Conditioning | None = None

    def load(self, conditioning: Conditioning) -> Conditioning:
        """Copy `conditioning` to the fixed addresses, once for each; returns the copy."""
        if self.conditioning is None:
            self.conditioning = conditioning.clone()
        elif self._source is not conditioning:
            self.conditioning.copy_from(conditioning)
        self._source = conditioning
        return self.conditioning

    def clear(self) -> None:
        """Overwrite it with zeros."""
        if self.conditioning is not None:
            self.conditioning.zero_()
        self._source = None


@dataclass(slots=True, kw_only=True, eq=False)
class StreamState(Generic[CodecStateT]):
    """One stream.

    Args:
        step_cache: its KV cache, one row for each step the model may run.
        first_row: which row of the pool the cache's first one is.
        codec: the codec's state.
        prompts, conditioning: the prompts, and the model's conditioning on them; a chunk keeps the
            conditioning it was encoded with. None until the stream begins.
        prompt_change: new prompts whose embedding may not be computed yet.
        settings: the viewer's; `timesteps_I` is its step list on the device, int64.
        noise_scale: of the last chunk, 0-dim float64 on the device.
        last_frame_CHW: the newest frame encoded, in [-1, 1]; None before the first chunk.
        next_chunk: number of the next chunk, counted from 0 for the whole stream.
        past_frames: latent frames in the cache's epoch so far; 0 makes the next chunk a first one.
        needs_reset: the next chunk begins a new epoch.
        runner: runs the heavy functions on this state's memory.
        static_conditioning: the conditioning where the runner's graphs read it.
    """

    step_cache: StepCache
    codec: CodecStateT
    prompts: PromptTrack
    settings: StreamSettings
    timesteps_I: Tensor
    noise_scale: Tensor
    conditioning: Conditioning | None = None
    prompt_change: PromptChange | None = None
    last_frame_CHW: Tensor | None = None
    next_chunk: int = 0
    past_frames: int = 0
    first_row: int = 0
    needs_reset: bool = False
    runner: GraphRunner = field(default_factory=GraphRunner)
    static_conditioning: StaticConditioning = field(default_factory=StaticConditioning)

    def set(self, settings: StreamSettings) -> None:
        """Replace the settings, from the next chunk on."""
        if settings.step_list != self.settings.step_list:
            self.timesteps_I = torch.tensor(settings.step_list, device=self.timesteps_I.device)
        self.settings = settings

    def begin_epoch(self) -> None:
        """Empty the cache: the next chunk is a first one and attends to nothing before it."""
        self.step_cache.reset()
        self.past_frames = 0
        self.needs_reset = False


def _value_or(value: ValueT | UnsetType, otherwise: ValueT) -> ValueT:
    return otherwise if isinstance(value, UnsetType) else value

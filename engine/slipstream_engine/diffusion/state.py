"""A stream's state between chunks."""

from dataclasses import dataclass, field, replace
from typing import Generic, Self, TypeVar

import torch
from msgspec import UnsetType
from slipstream_protocol.parameters import Parameters
from torch import Tensor

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

    @classmethod
    def of(cls, schedule: ScheduleParams) -> Self:
        """Those of a new stream."""
        return cls(
            step_list=schedule.step_list[: schedule.steps],
            noise_scale=schedule.noise_scale,
            noise_controller=True,
            seed=0,
        )

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

    def forget(self) -> None:
        """Give its memory up: no graph reads it any more."""
        self.conditioning = self._source = None

    def clear(self) -> None:
        """Overwrite it with zeros."""
        if self.conditioning is not None:
            self.conditioning.zero_()
        self._source = None


@dataclass(slots=True, kw_only=True, eq=False)
class StreamState(Generic[CodecStateT]):
    """What a device holds of one stream; what the host decides is in `stream_host.py`.

    Args:
        step_cache: its KV cache, one row for each step the model may run.
        first_row: which row of the pool the cache's first one is.
        codec: the codec's state.
        conditioning: the model's on the stream's prompts; a chunk keeps the conditioning it was
            encoded with. None until the stream begins.
        noise_scale: of the last chunk, 0-dim float64 on the device.
        last_frame_CHW: the newest frame encoded, in [-1, 1]; None before the first chunk.
        runner: runs the heavy functions on this state's memory.
        static_conditioning: the conditioning where the runner's graphs read it.
    """

    step_cache: StepCache
    codec: CodecStateT
    noise_scale: Tensor
    conditioning: Conditioning | None = None
    last_frame_CHW: Tensor | None = None
    first_row: int = 0
    runner: GraphRunner = field(default_factory=GraphRunner)
    static_conditioning: StaticConditioning = field(default_factory=StaticConditioning)
    _step_list: tuple[int, ...] = ()
    _timesteps_I: Tensor | None = None

    def timesteps_I(self, step_list: tuple[int, ...]) -> Tensor:
        """A step list on the device, int64; sent there when it changes."""
        if self._timesteps_I is None or step_list != self._step_list:
            self._step_list = step_list
            self._timesteps_I = torch.tensor(step_list, device=self.noise_scale.device)
        return self._timesteps_I

    def begin_anew(self, step_cache: StepCache, codec: CodecStateT, runner: GraphRunner) -> None:
        """Go on with frames of another size, on empty memory; only the prompts stay."""
        self.step_cache, self.codec, self.runner = step_cache, codec, runner
        self.last_frame_CHW = None


def _value_or(value: ValueT | UnsetType, otherwise: ValueT) -> ValueT:
    return otherwise if isinstance(value, UnsetType) else value

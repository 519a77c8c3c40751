"""Everything of a stream that lives between chunks; a fresh state is a reset."""

from dataclasses import dataclass, field, replace
from typing import Generic, Self, TypeVar

import torch
from msgspec import UnsetType
from slipstream_protocol.parameters import Parameters
from torch import Tensor

from slipstream_engine.conditioning.prompts import PromptChange, PromptTrack
from slipstream_engine.config import ScheduleParams
from slipstream_engine.diffusion.cuda_graphs import GraphRunner
from slipstream_engine.kv_cache.rolling_cache import RollingCache
from slipstream_engine.models.dit.blocks import Conditioning

CodecStateT = TypeVar("CodecStateT")
ValueT = TypeVar("ValueT")


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamSettings:
    """What a viewer chose, but for the prompts."""

    step_list: tuple[int, ...]
    noise_scale: float
    noise_controller: bool
    seed: int

    def changed(self, parameters: Parameters, schedule: ScheduleParams) -> Self:
        """These settings with those that `parameters` names.

        Raises:
            ValueError: if the model has no room for so many steps, or was not made for so much
                noise.
        """
        settings = replace(
            self,
            step_list=_named(parameters.denoising_step_list, self.step_list),
            noise_scale=_named(parameters.noise_scale, self.noise_scale),
            noise_controller=_named(parameters.noise_controller, self.noise_controller),
            seed=_named(parameters.seed, self.seed),
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
    """The one place where recorded graphs read a prompt's conditioning."""

    def __init__(self) -> None:
        self._here: Conditioning | None = None
        self._of: Conditioning | None = None

    def hold(self, conditioning: Conditioning) -> Conditioning:
        """`conditioning`, in that place."""
        if self._here is None:
            self._here = conditioning.clone()
        elif self._of is not conditioning:
            self._here.take(conditioning)
        self._of = conditioning
        return self._here

    def forget(self) -> None:
        """Leave nothing there."""
        if self._here is not None:
            self._here.clear()
        self._of = None


@dataclass(slots=True, kw_only=True, eq=False)
class StreamState(Generic[CodecStateT]):
    """One stream.

    Args:
        cache: one row for each step the model may run.
        first_row: which row of the pool the cache's first one is.
        codec: what the codec carries.
        prompts, conditioning: the prompts, and what the model reads of them; a chunk under way
            keeps the conditioning that it began with.
        change: new prompts whose embedding may not be there yet.
        settings: what the viewer chose; `steps` is its step list on the device.
        noise_scale: of the last chunk, 0-dim float64 on the device.
        last_frame_CHW: the newest frame seen, in [-1, 1]; None before the first chunk.
        chunk: number of the next chunk.
        past_frames: latent frames in the cache's epoch so far; 0 makes the next chunk a first one.
        restarts: the next chunk begins a new epoch.
        live_rows: cache rows that hold the chunk before; the others must be caught up before they
            run.
        runner: runs the heavy functions on this state's memory.
        resident: the prompt where its graphs read it.
    """

    cache: RollingCache
    codec: CodecStateT
    prompts: PromptTrack
    conditioning: Conditioning
    settings: StreamSettings
    steps: Tensor
    noise_scale: Tensor
    change: PromptChange | None = None
    last_frame_CHW: Tensor | None = None
    chunk: int = 0
    past_frames: int = 0
    live_rows: int = 0
    first_row: int = 0
    restarts: bool = False
    runner: GraphRunner = field(default_factory=GraphRunner)
    resident: StaticConditioning = field(default_factory=StaticConditioning)

    def set(self, settings: StreamSettings) -> None:
        """Change what the viewer chose, from the next chunk on."""
        if settings.step_list != self.settings.step_list:
            self.steps = torch.tensor(settings.step_list, device=self.steps.device)
        self.settings = settings

    def forget(self) -> None:
        """Begin a new epoch: the next chunk is a first one and knows nothing of the past."""
        self.cache.reset()
        self.past_frames = 0
        self.live_rows = 0
        self.restarts = False

    def catch_up(self, rows: int) -> None:
        """Give rows that did not run at the last chunk a past.

        A step that was not run has an empty or stale cache. It takes over a copy of the nearest
        step that ran: those keys were made at a higher noise level than its own, as all rows' first
        slots are, and are replaced as the ring turns.
        """
        for row in range(self.live_rows, rows):
            self.cache.copy_row(self.live_rows - 1, row)
        self.live_rows = rows


def _named(value: ValueT | UnsetType, otherwise: ValueT) -> ValueT:
    return otherwise if isinstance(value, UnsetType) else value

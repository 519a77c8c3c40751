"""A pipeline without a model: each frame comes back as it went in.

It gives the least latency possible, serves tests, and needs neither torch nor weights.
With a time for its steps it takes as long as a model would, at every number of them.
"""

import time
from collections.abc import Sequence

import msgspec
from msgspec import UNSET
from slipstream_protocol.frames import I420, FrameSize, Geometry
from slipstream_protocol.levels import DEFAULT_LEVELS
from slipstream_protocol.messages import DEFAULT_FPS, Vocabulary
from slipstream_protocol.parameters import Parameters, Prompt, Prompts

from slipstream_engine.frame_sizes import ScaledSize, scaled_sizes
from slipstream_engine.scheduling.types import ChunkShape
from slipstream_engine.serving.step_time import StepTime

_UNIT_PX = 8  # sides of its sizes are multiples of this
_STEP_LIST = (1000, 750, 500, 250)


class EchoStream:
    """A stream whose output is its input; remembers its prompts like any other.

    Args:
        steps: of its chunks; 0 for one that has none, whatever its parameters say.
    """

    def __init__(self, parameters: Parameters, *, steps: int = 0) -> None:
        self._prompts: Prompts = (Prompt(""),)
        self._steps = steps
        self.apply(parameters)

    @property
    def prompts(self) -> Prompts:
        return self._prompts

    @property
    def shape(self) -> ChunkShape:
        return ChunkShape(level="echo", steps=self._steps)

    @property
    def steady_shape(self) -> ChunkShape:
        return self.shape

    def apply(self, parameters: Parameters) -> None:
        if parameters.target is not UNSET:
            self._prompts = parameters.target
        if self._steps and parameters.denoising_step_list is not UNSET:
            self._steps = len(parameters.denoising_step_list)

    def resize(self, size: FrameSize) -> None:
        """Nothing is kept of the frames before."""

    def encode(self, frames_THW: I420) -> I420:
        return frames_THW.copy()

    def decode(self, chunk: I420, out_THW: I420) -> None:
        out_THW[:] = chunk

    def close(self) -> None:
        """Nothing is held."""


class EchoPipeline:
    """See the module.

    Args:
        width_px, height_px: of the frames that a stream begins with.
        smaller: scales beside that one, the largest first.
        aspects: see `frame_sizes.py`.
        step_time: None where chunks have no steps.
    """

    name = "echo"
    preset = "none"
    max_batch = 1
    step_list: tuple[int, ...] = (1000,)
    noise_scale_range = (0.0, 0.0)
    vocabulary = Vocabulary()
    levels = DEFAULT_LEVELS
    fps = DEFAULT_FPS
    note = "echo: the camera's own picture, through the engine and back, without a model"
    defaults = Parameters(
        prompts=(Prompt(""),),
        denoising_step_list=(1000,),
        noise_scale=0.0,
        noise_controller=False,
        seed=0,
    )

    def __init__(
        self,
        *,
        width_px: int,
        height_px: int,
        smaller: tuple[FrameSize, ...] = (),
        aspects: tuple[tuple[int, int], ...] = (),
        step_time: StepTime | None = None,
    ) -> None:
        self.geometry = Geometry(
            width_px=width_px, height_px=height_px, first_chunk_frames=4, chunk_frames=4
        )
        self.sizes: tuple[ScaledSize, ...] = scaled_sizes(
            (self.geometry.size, *smaller), aspects, unit_px=_UNIT_PX
        )
        self._step_time = step_time
        if step_time is not None:
            self.step_list = _STEP_LIST
            self.defaults = msgspec.structs.replace(self.defaults, denoising_step_list=_STEP_LIST)

    def begin_at(self, size: FrameSize) -> None:
        self.geometry = self.geometry.at(size)

    def understood(self, prompts: Prompts) -> str:
        """Empty: prompts change nothing."""
        return ""

    def warm_up(self) -> None:
        """Nothing is slow the first time."""

    def open(self, parameters: Parameters) -> EchoStream:
        steps = 0 if self._step_time is None else len(self.step_list)
        return EchoStream(parameters, steps=steps)

    def denoise(self, chunks: Sequence[I420]) -> None:
        """Take the time of a step, where chunks have any."""
        if self._step_time is not None:
            time.sleep(self._step_time.seconds())

    def submitted(self) -> None:
        """All work is done at the call."""

    def finish(self) -> None:
        """All work is finished already."""

    def close(self) -> None:
        """Nothing runs beside the streams."""

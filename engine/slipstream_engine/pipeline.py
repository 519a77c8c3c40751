"""What the loop needs of a pipeline, and nothing more."""

from typing import Protocol

from slipstream_protocol.frames import I420, Geometry
from slipstream_protocol.messages import StageTimes
from slipstream_protocol.parameters import Parameters, Prompts


class AdmissionError(Exception):
    """A stream cannot be opened now; the text says why, `retry_after_s` when to ask again."""

    def __init__(self, reason: str, *, retry_after_s: float) -> None:
        super().__init__(reason)
        self.retry_after_s = retry_after_s


class Stream(Protocol):
    """One viewer's endless sequence of chunks, and all the state it carries."""

    @property
    def prompts(self) -> Prompts:
        """The prompts in force, or those a transition is on its way to."""
        ...

    def apply(self, parameters: Parameters) -> None:
        """Change what `parameters` names, from the next chunk on.

        Raises:
            ValueError: if a value is outside what this model can do; nothing has changed then.
        """
        ...

    def step(self, frames_THW: I420, out_THW: I420) -> StageTimes:
        """Generate one chunk.

        Args:
            frames_THW: I420 frames `[T, H * 3 // 2, W]`, T as the pipeline's geometry says.
            out_THW: where the generated frames go, the same shape; may not overlap the input.
        """
        ...


class Pipeline(Protocol):
    """A loaded model that can hold streams."""

    @property
    def name(self) -> str: ...
    @property
    def preset(self) -> str: ...
    @property
    def geometry(self) -> Geometry: ...
    @property
    def defaults(self) -> Parameters:
        """What a stream starts with where its viewer names nothing."""
        ...

    @property
    def step_list(self) -> tuple[int, ...]:
        """All the timesteps the model was made for, falling."""
        ...

    @property
    def noise_scale_range(self) -> tuple[float, float]:
        """The least and the most share of noise the model can work from."""
        ...

    @property
    def styles(self) -> tuple[str, ...]:
        """The words a small model knows; empty where any text will do."""
        ...

    @property
    def note(self) -> str:
        """One line on what this model is, for people."""
        ...

    def warm_up(self) -> None:
        """Do once, on a throw-away stream, whatever is slow the first time."""
        ...

    def open(self, parameters: Parameters) -> Stream:
        """A fresh stream.

        Raises:
            AdmissionError: if there is no room for it now.
            ValueError: if `parameters` are outside what this model can do.
        """
        ...

    def close(self) -> None:
        """End what runs beside the streams; nothing may be opened or stepped after it."""
        ...

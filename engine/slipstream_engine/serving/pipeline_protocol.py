"""What the loop needs of a pipeline, and nothing more.

A stream's work for a chunk is `encode`, `shape.steps` times `denoise`, `decode`. The loop may let
the stages of several chunks alternate, as `scheduling/queues.py` allows: the frames are the same
in any order.
"""

from collections.abc import Sequence
from typing import Protocol, TypeVar

from slipstream_protocol.frames import I420, Geometry
from slipstream_protocol.messages import Vocabulary
from slipstream_protocol.parameters import Parameters, Prompts

from slipstream_engine.scheduling.types import ChunkShape

ChunkT = TypeVar("ChunkT")


class PipelineStream(Protocol[ChunkT]):
    """One viewer's endless sequence of chunks, and all the state it carries."""

    @property
    def prompts(self) -> Prompts:
        """The prompts in force, or those a transition is on its way to."""
        ...

    @property
    def shape(self) -> ChunkShape:
        """What the next chunk to be encoded will ask of the device."""
        ...

    @property
    def steady_shape(self) -> ChunkShape:
        """What most of its chunks ask of the device."""
        ...

    def apply(self, parameters: Parameters) -> None:
        """Change what `parameters` names, from the next chunk to be encoded on.

        Raises:
            ValueError: if a value is outside what this model can do; nothing has changed then.
        """
        ...

    def encode(self, frames_THW: I420) -> ChunkT:
        """Begin a chunk.

        Args:
            frames_THW: I420 frames `[T, H * 3 // 2, W]`, T as the pipeline's geometry says; free
                again when this returns.
        """
        ...

    def decode(self, chunk: ChunkT, out_THW: I420) -> None:
        """End a chunk whose steps are done.

        Args:
            out_THW: where the generated frames go, of the input's shape; they are there when this
                returns.
        """
        ...

    def close(self) -> None:
        """Give back whatever it holds; nothing else may be called after it."""
        ...


class Pipeline(Protocol[ChunkT]):
    """A loaded model that can hold streams."""

    @property
    def name(self) -> str: ...
    @property
    def preset(self) -> str: ...
    @property
    def geometry(self) -> Geometry: ...
    @property
    def max_batch(self) -> int:
        """The most chunks that `denoise` takes; 1 where company would not make it faster."""
        ...

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
    def vocabulary(self) -> Vocabulary:
        """The words a small model knows; empty where any text will do."""
        ...

    @property
    def note(self) -> str:
        """One line on what this model is, for people."""
        ...

    def understood(self, prompts: Prompts) -> str:
        """What the model makes of `prompts`, for people; empty where it takes them as they are."""
        ...

    def warm_up(self) -> None:
        """Do once, on a throw-away stream, whatever is slow the first time."""
        ...

    def open(self, parameters: Parameters) -> PipelineStream[ChunkT]:
        """A fresh stream.

        Raises:
            AdmissionError: if there is no room for it now.
            ValueError: if `parameters` are outside what this model can do.
        """
        ...

    def denoise(self, chunks: Sequence[ChunkT]) -> None:
        """The next step of each chunk, in one pass; they are of one level."""
        ...

    def finish(self) -> None:
        """Wait until the device has done all it was asked to do."""
        ...

    def close(self) -> None:
        """End what runs beside the streams; nothing may be opened or stepped after it."""
        ...

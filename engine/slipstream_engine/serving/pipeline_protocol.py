"""The interface of pipelines, as the loop uses it.

A stream's work for a chunk is `encode`, `shape.steps` times `denoise`, `decode`. The loop may let
the stages of several chunks alternate, as `scheduling/queues.py` allows: the frames do not depend
on the order.
"""

from collections.abc import Sequence
from typing import Protocol, TypeVar, runtime_checkable

from slipstream_protocol.frames import I420, FrameSize, Geometry
from slipstream_protocol.levels import Levels
from slipstream_protocol.messages import Vocabulary
from slipstream_protocol.parameters import Parameters, Prompts

from slipstream_engine.frame_sizes import ScaledSize
from slipstream_engine.scheduling.types import ONE_RANK, ChunkShape, Placement

ChunkT = TypeVar("ChunkT")


class Completion(Protocol):
    """The end of work that a device was given; torch's events are of this kind."""

    def synchronize(self) -> None:
        """Wait for it."""
        ...


@runtime_checkable
class RankCompletion(Completion, Protocol):
    """The end of a pass of a group of ranks, several of which run at once."""

    def query(self) -> bool:
        """Whether it has ended."""
        ...

    @property
    def span_ns(self) -> tuple[int, int]:
        """When the first rank began it, and when the last one ended it."""
        ...

    def hop_ns(self, hop: int) -> tuple[int, int] | None:
        """When it began on a rank of its path, and left it; None if it has not."""
        ...


class Delivery(Protocol):
    """Generated frames on their way from the device. Call one of its methods, once."""

    def finish(self) -> None:
        """Wait for the frames, and fill the caller's memory with them."""
        ...

    def discard(self) -> None:
        """Nobody wants the frames any more; the caller's memory stays as it is."""
        ...


@runtime_checkable
class RankGroup(Protocol):
    """What a pipeline over several devices offers besides."""

    @property
    def placement(self) -> Placement:
        """The ranks of the stages."""
        ...

    @property
    def wakes(self) -> tuple[int, ...]:
        """Descriptors that can be read from when a pass has ended, or may begin on some rank. The
        end of a rank may be seen by `read` only while passes are under way."""
        ...

    def read(self, wait_s: float) -> bool:
        """Take in what the ranks report; returns whether there was anything.

        Raises:
            DeviceLostError: if a rank is lost.
        """
        ...


def placement_of(pipeline: object) -> Placement:
    """The ranks of a pipeline's stages; one rank for all where it is no group."""
    return pipeline.placement if isinstance(pipeline, RankGroup) else ONE_RANK


class PipelineStream(Protocol[ChunkT]):
    """An endless sequence of chunks, and all the state that is carried from one to the next."""

    @property
    def prompts(self) -> Prompts:
        """The prompts in force; during a transition those it leads to."""
        ...

    @property
    def shape(self) -> ChunkShape:
        """Of the next chunk to be encoded."""
        ...

    @property
    def steady_shape(self) -> ChunkShape:
        """Of its chunks after the first."""
        ...

    def apply(self, parameters: Parameters) -> None:
        """Change what `parameters` names, from the next chunk to be encoded on.

        Raises:
            ValueError: if a value is out of the model's range; nothing has changed then.
        """
        ...

    def resize(self, size: FrameSize) -> None:
        """Have frames of that size, which the pipeline offers, from the next chunk to be encoded
        on. If it is another size, the stream begins anew: with a first chunk, and no past."""
        ...

    def encode(self, frames_THW: I420) -> ChunkT:
        """Begin a chunk.

        Args:
            frames_THW: I420 frames `[T, H * 3 // 2, W]` of the stream's size, T by the pipeline's
                geometry, as for a first chunk where the stream begins at a size; not read
                any more once this returns.
        """
        ...

    def decode(self, chunk: ChunkT, out_THW: I420) -> Delivery | None:
        """End a chunk whose steps are done.

        Args:
            out_THW: to be filled with the generated frames, of the input's shape.

        Returns:
            What fills `out_THW`; None if it is filled.
        """
        ...

    def close(self) -> None:
        """Free its memory; no other method may be called after it."""
        ...


class Pipeline(Protocol[ChunkT]):
    """A loaded model that can hold streams."""

    @property
    def name(self) -> str: ...
    @property
    def preset(self) -> str: ...
    @property
    def geometry(self) -> Geometry:
        """Of the chunks of a stream that begins."""
        ...

    @property
    def sizes(self) -> tuple[ScaledSize, ...]:
        """Of frames that a stream may have, the largest scale first."""
        ...

    def begin_at(self, size: FrameSize) -> None:
        """Let streams begin at that size, one of `sizes`, from now on."""
        ...

    @property
    def max_batch(self) -> int:
        """The most chunks that `denoise` takes; 1 where sharing a pass would not make it faster."""
        ...

    @property
    def defaults(self) -> Parameters:
        """What a stream starts with, but for the parameters it is opened with."""
        ...

    @property
    def step_list(self) -> tuple[int, ...]:
        """All the timesteps the model was trained for, falling."""
        ...

    @property
    def noise_scale_range(self) -> tuple[float, float]:
        """The least and the most noise the model can start from, as shares."""
        ...

    @property
    def levels(self) -> Levels:
        """Of quality at which its streams may be generated, the best first."""
        ...

    @property
    def fps(self) -> float:
        """The least frame rate that a viewer should get."""
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
        """How the model reads `prompts`, for people; empty where it takes them as they are."""
        ...

    def warm_up(self) -> None:
        """Run throw-away streams, so that no viewer meets what is slow the first time."""
        ...

    def open(self, parameters: Parameters) -> PipelineStream[ChunkT]:
        """A new stream that starts with `parameters` over the pipeline's defaults.

        Raises:
            AdmissionError: if there is no room for it now.
            ValueError: if a parameter is out of the model's range.
        """
        ...

    def denoise(self, chunks: Sequence[ChunkT]) -> None:
        """The next step of each chunk, in one pass; they are of one level."""
        ...

    def submitted(self) -> Completion | None:
        """The end of all work submitted so far; None where work is done at the call."""
        ...

    def finish(self) -> None:
        """Wait until the device has finished all submitted work."""
        ...

    def close(self) -> None:
        """End what runs beside the streams, such as threads; nothing may be called after it."""
        ...

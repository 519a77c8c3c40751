"""One stream of a group: its host's half here, its numbers with the ranks."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from slipstream_protocol.clock import now_ns
from slipstream_protocol.frames import I420, FrameSize
from slipstream_protocol.messages import StageTimes
from slipstream_protocol.parameters import Parameters, Prompts

from slipstream_engine.diffusion.stream_host import StreamHost
from slipstream_engine.group.chunk import GroupChunk
from slipstream_engine.scheduling.types import ChunkShape

if TYPE_CHECKING:  # each has the other
    from slipstream_engine.group.pipeline import GroupPipeline


@dataclass(frozen=True, slots=True, kw_only=True)
class StagedFrames:
    """Generated frames that the leader's rank puts into memory of its own; a `Delivery`."""

    wait: Callable[[], I420]
    out_THW: I420

    def finish(self) -> None:
        self.out_THW[...] = self.wait()

    def discard(self) -> None:
        self.wait()


class GroupStream:
    """See `PipelineStream` in `serving/pipeline_protocol.py`.

    Args:
        number: of the stream.
        host: what it is asked for.
    """

    def __init__(self, group: "GroupPipeline", number: int, host: StreamHost) -> None:
        self._group = group
        self._number = number
        self._current_rows = 0  # how many steps' caches hold the chunk before
        self._is_open = True
        self.host = host

    @property
    def prompts(self) -> Prompts:
        return self.host.prompts

    @property
    def shape(self) -> ChunkShape:
        return self.host.shape

    @property
    def steady_shape(self) -> ChunkShape:
        return self.host.steady_shape

    def apply(self, parameters: Parameters) -> None:
        self.host.apply(parameters)

    def resize(self, size: FrameSize) -> None:
        assert size == self.host.size, "a group of ranks has one size"

    def await_prompts(self) -> None:
        """See `StreamHost.await_prompts`."""
        self.host.await_prompts()

    def encode(self, frames_THW: I420) -> GroupChunk:
        order = self.host.order(len(frames_THW))
        steps = len(order.settings.step_list)
        if not order.is_first:
            for step in range(self._current_rows, steps):
                self._group.copy_row(self._number, self._current_rows - 1, step)
        self._current_rows = steps
        embedding_TE = self.host.track.embedding_TE if not order.number else order.prompt_TE
        return self._group.begin(self._number, order, embedding_TE, frames_THW)

    def decode(self, chunk: GroupChunk, out_THW: I420) -> StagedFrames:
        return self._group.decode(chunk, out_THW)

    def step(self, frames_THW: I420, out_THW: I420) -> StageTimes:
        """Run all stages of a chunk: for files, where no other stream waits."""
        began_ns = now_ns()
        chunk = self.encode(frames_THW)
        while not chunk.is_clean:
            self._group.denoise([chunk])
        self.decode(chunk, out_THW).finish()
        return StageTimes(denoise_ms=(now_ns() - began_ns) / 1e6)

    def close(self) -> None:
        """Release its lane; only the first call does."""
        if self._is_open:
            self._is_open = False
            self._group.close_stream(self._number)

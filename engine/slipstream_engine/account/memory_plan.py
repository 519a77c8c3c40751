"""What a pipeline takes of a GPU's memory, and how many streams fit in it. Pure."""

from dataclasses import astuple, dataclass
from typing import Self

# a CUDA context with the libraries' workspaces, and what the allocator loses between its blocks:
# assumed, as nothing on a fake device could tell it
CONTEXT_BYTES = 1_000_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryParts:
    """Where the memory goes.

    Args:
        weights_bytes: of transformer and codec; the text encoder stays on the host.
        cache_bytes: the KV cache of one stream.
        stream_bytes: what else a stream keeps: the codec's state, its prompt, its graphs' inputs.
        shared_bytes: inputs of the passes that streams share.
        graphs_bytes: what recorded functions compute in, all of them in the same memory.
    """

    weights_bytes: int
    cache_bytes: int
    stream_bytes: int
    shared_bytes: int
    graphs_bytes: int

    def plus(self, one: Self, two: Self, times: int) -> Self:
        """This, and so many times what `two` takes more than `one`."""
        triples = zip(astuple(self), astuple(one), astuple(two), strict=True)
        numbers = [own + times * (much - less) for own, less, much in triples]
        return type(self)(**dict(zip(self.__dataclass_fields__, numbers, strict=True)))

    def total_bytes(self, streams: int, *, peak_bytes: int) -> int:
        """Of the whole process, with so many streams.

        Args:
            peak_bytes: the most that a stage computes in without a graph.
        """
        alone = self.weights_bytes + self.graphs_bytes + peak_bytes + CONTEXT_BYTES
        shared = self.shared_bytes if streams > 1 else 0
        return alone + shared + streams * (self.cache_bytes + self.stream_bytes)

    def streams_in(self, gpu_bytes: int, *, peak_bytes: int) -> int:
        """The most streams whose total is no larger; 0 if not even one fits."""
        streams = 0
        while self.total_bytes(streams + 1, peak_bytes=peak_bytes) <= gpu_bytes:
            streams += 1
        return streams

"""A chunk as the leader of a group knows it. Pure."""

from dataclasses import dataclass

from slipstream_engine.group.passes import ChunkPart
from slipstream_engine.group.paths import Paths


@dataclass(slots=True, kw_only=True, eq=False)
class GroupChunk:
    """A chunk between encode and decode, which the ranks hold.

    Args:
        stream, number: whose, and which.
        latents: latent frames.
        is_first: of its epoch of the cache.
        steps, steps_done: how many it has, and how many are ordered.
        epoch, paths: of the plan that it runs under.
    """

    stream: int
    number: int
    latents: int
    is_first: bool
    steps: int
    epoch: int
    paths: Paths
    steps_done: int = 0

    def part(self, *, is_codec: bool = False, is_last: bool = False) -> ChunkPart:
        """What a pass does for it."""
        return ChunkPart(
            stream=self.stream,
            chunk=self.number,
            epoch=self.epoch,
            steps=self.steps,
            is_first=self.is_first,
            is_codec=is_codec,
            is_last=is_last,
        )

    @property
    def is_clean(self) -> bool:
        return self.steps_done == self.steps

"""The streams of a rank: their memory, and the chunks under way."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor

from slipstream_engine.config import RankShare
from slipstream_engine.diffusion.chunk import LatentChunk
from slipstream_engine.diffusion.lane_pool import LaneMemory
from slipstream_engine.diffusion.pipeline import DiffusionPipeline
from slipstream_engine.diffusion.state import StreamState
from slipstream_engine.diffusion.stream_host import ChunkOrder
from slipstream_engine.group.mail import Mail
from slipstream_engine.group.messages import BeginChunk, CopyRow, PromptPiece
from slipstream_engine.parallel.block_transfers import weight_moves
from slipstream_engine.parallel.links import Arrival
from slipstream_engine.parallel.plan import PipelinePlan, Segment


@dataclass(slots=True, kw_only=True, eq=False)
class RankLane:
    """A stream's memory on a rank.

    Args:
        prompt_rows: of an embedding whose pieces have come.
        prompt_TE: the embedding that the stream's conditioning is of; None before the first.
    """

    memory: LaneMemory[Any]
    state: StreamState[Any]
    prompt_rows: bytearray = field(default_factory=bytearray)
    prompt_TE: Tensor | None = None


@dataclass(slots=True, kw_only=True, eq=False)
class RankChunk:
    """A chunk under way, with the latents that this rank has made for itself, by the path that goes
    on with them."""

    latent: LatentChunk[Any]
    waiting: dict[int, dict[str, Tensor]] = field(default_factory=dict)


class RankStreams:
    """See the module.

    Args:
        rank: its number.
        share: of the model, which the rank holds.
        pipeline: of that share.
        mail: to and from other ranks.

    Attributes:
        lanes: by the number of the stream.
        chunks: by the numbers of stream and chunk.
        expected: latents that other ranks send, by stream, chunk, and the path that goes on with
            them.
        row_of: the cache row of a step, as this rank numbers them.
    """

    def __init__(
        self, rank: int, share: RankShare, pipeline: DiffusionPipeline[Any], mail: Mail
    ) -> None:
        self._rank = rank
        self._pipeline = pipeline
        self._mail = mail
        self._blocks = list(share.blocks)
        self.row_of = {step: row for row, step in enumerate(share.steps)}
        self.lanes: dict[int, RankLane] = {}
        self.chunks: dict[tuple[int, int], RankChunk] = {}
        self.expected: dict[tuple[int, int, int], Arrival] = {}

    def open(self, stream: int) -> None:
        """A stream begins, on a lane of its own."""
        memory = self._pipeline.pool.acquire(self._pipeline.geometry.size)
        self.lanes[stream] = RankLane(memory=memory, state=self._pipeline.fresh_state(memory))

    def close(self, stream: int) -> None:
        """A stream ends, with its chunks under way."""
        for key in [key for key in self.chunks if key[0] == stream]:
            self.forget(key)
        for path_key in [key for key in self.expected if key[0] == stream]:
            arrival = self.expected.pop(path_key)
            arrival.fields()  # it has been sent, so it will come
            arrival.release()
        self._pipeline.pool.release(self.lanes.pop(stream).memory)

    def forget(self, key: tuple[int, int]) -> None:
        """A chunk, by its stream and number, is done here."""
        del self.chunks[key]

    def add_prompt(self, piece: PromptPiece) -> None:
        """A part of an embedding has come."""
        self.lanes[piece.stream].prompt_rows += piece.data

    def prepared_copy(self, order: CopyRow) -> Callable[[], None]:
        """Give a step's cache to another step, on this rank or from one to another."""
        if self._rank != order.source:
            layers = order.end_block - order.first_block
            likes = self._pipeline.pool.cache.likes_of_row(layers)
            expected = self._mail.expect_tensors(order.source, likes)
            return lambda: copy_tensors(expected.result(), self._row(order, order.to_step))

        def give() -> None:
            sent = self._row(order, order.from_step)
            if order.target == self._rank:
                copy_tensors(sent, self._row(order, order.to_step))
            else:
                self._mail.send_tensors(order.target, sent)

        return give

    def _row(self, order: CopyRow, step: int) -> list[Tensor]:
        cache = self.lanes[order.stream].state.step_cache.cache
        layers = self.layers(order.first_block, order.end_block)
        return cache.row_tensors(self.row_of[step], layers)

    def layers(self, first_block: int, end_block: int) -> range:
        """Some of the model's blocks, as this rank numbers them now."""
        first = self._blocks.index(first_block)
        return range(first, first + end_block - first_block)

    def prepared_blocks(self, before: PipelinePlan, after: PipelinePlan) -> Callable[[], None]:
        """Blocks move: give their weights, or hold them as well from now on."""
        model, moves = self._pipeline.bundle.model, weight_moves(before, after)
        expected = {
            move.block: self._mail.expect_tensors(move.source, model.tensors_of_block(0))
            for move in moves
            if move.target == self._rank
        }

        def exchange() -> None:
            for move in moves:
                if move.source == self._rank:
                    weights = model.tensors_of_block(self._blocks.index(move.block))
                    self._mail.send_tensors(move.target, weights)
            gained = {block: tensors.result() for block, tensors in expected.items()}
            if gained:
                self.hold_blocks(sorted({*self._blocks, *gained}), gained)

        return exchange

    def hold_blocks(
        self, blocks: Sequence[int], gained: Mapping[int, list[Tensor]] = MappingProxyType({})
    ) -> None:
        """Hold these blocks from now on, in this order, with their caches.

        Args:
            gained: the weights of those that were not held; their caches are empty.
        """
        if list(blocks) == self._blocks:
            return
        layers = [self._blocks.index(one) if one in self._blocks else None for one in blocks]
        model = self._pipeline.bundle.model
        model.hold_blocks(
            [
                gained[block] if layer is None else layer
                for block, layer in zip(blocks, layers, strict=True)
            ]
        )
        self._pipeline.pool.hold_layers(layers)
        self._blocks = list(blocks)
        for lane in self.lanes.values():
            if lane.prompt_TE is not None:
                lane.state.conditioning = model.condition(lane.prompt_TE[None])
            lane.state.runner = lane.memory.runner
        for chunk in self.chunks.values():
            chunk.latent.conditioning = chunk.latent.conditioning.of_layers(layers)

    def chunk_order(self, order: BeginChunk) -> ChunkOrder:
        """What a chunk is to be, its prompts being those whose pieces have come."""
        lane, prompt_TE = self.lanes[order.stream], None
        if order.has_prompt:
            model = self._pipeline.maker.model
            rows_TE = torch.frombuffer(lane.prompt_rows, dtype=torch.float32)
            rows_TE = rows_TE.view(-1, model.params.text_dim)
            prompt_TE = rows_TE.to(device=model.device, dtype=model.dtype)
            lane.prompt_rows, lane.prompt_TE = bytearray(), prompt_TE
        return ChunkOrder(
            number=order.chunk,
            is_first=order.is_first,
            resets_cache=order.resets_cache,
            position=order.position,
            settings=order.settings,
            prompt_TE=prompt_TE,
        )

    def copy_first(self, chunk: LatentChunk[Any], segment: Segment) -> None:
        """A first chunk has run all its steps in one row: every step's begins as a copy of it."""
        cache = chunk.state.step_cache.cache
        layers = self.layers(segment.first_block, segment.end_block)
        first, *others = (cache.row_tensors(self.row_of[step], layers) for step in segment.steps)
        for other in others:
            copy_tensors(first, other)


def copy_tensors(sources: list[Tensor], targets: list[Tensor]) -> None:
    """Overwrite the targets."""
    for source, target in zip(sources, targets, strict=True):
        target.copy_(source)

"""A group of ranks behind the interface of one pipeline: the leader's side.

The caller orders stages, and gets their ends by `submitted`; several may be under way. What depends
on a stage is best ordered once that has ended: a rank does what it is told in that order, and would
wait for another one while it could do something else.
"""

import logging
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from slipstream_protocol.frames import I420, FrameSize, Geometry
from slipstream_protocol.levels import Levels
from slipstream_protocol.messages import Vocabulary
from slipstream_protocol.parameters import Parameters, Prompts
from torch import Tensor

from slipstream_engine.diffusion.pipeline import DiffusionPipeline
from slipstream_engine.diffusion.stream_host import ChunkOrder
from slipstream_engine.errors import AdmissionError
from slipstream_engine.frame_sizes import ScaledSize
from slipstream_engine.group.block_moves import BlockMoves, Order
from slipstream_engine.group.chunk import GroupChunk
from slipstream_engine.group.leader import Leader, PassCompletion
from slipstream_engine.group.messages import (
    BeginChunk,
    CloseLane,
    CopyRow,
    Decode,
    ExpectLatents,
    OpenLane,
    PromptPiece,
    RunPart,
)
from slipstream_engine.group.paths import Paths
from slipstream_engine.group.staging import Staging
from slipstream_engine.group.stream import GroupStream, StagedFrames
from slipstream_engine.group.workers import Workers
from slipstream_engine.parallel.block_scheduler import BlockScheduler
from slipstream_engine.parallel.plan import PipelinePlan
from slipstream_engine.scheduling.types import Placement

logger = logging.getLogger(__name__)

_PIECE_BYTES = 1 << 19
_WARM_CHUNKS = 3


class GroupPipeline:
    """See `Pipeline` in `serving/pipeline_protocol.py`.

    Args:
        local: what the first rank runs of the model; its text encoder is the group's.
        plan: that the ranks run at first.
        workers: all ranks, running.
        note: on the plan, for people.
        scheduler: moves blocks between ranks; None where they stay.

    Attributes:
        leader: of the ranks.
        placement: the ranks of the stages.
        decoded_chunks: how many have been ordered.
    """

    name = "diffusion"
    max_batch = 1  # the ranks are kept busy by several chunks, one in each

    def __init__(
        self,
        local: DiffusionPipeline[Any],
        plan: PipelinePlan,
        workers: Workers,
        staging: Staging,
        *,
        note: str,
        scheduler: BlockScheduler | None = None,
    ) -> None:
        self._local = local
        self._plan = plan  # its codec's ranks stay, whatever blocks move
        self._moves = BlockMoves(plan, scheduler)
        self._codec_ranks = sorted({0, plan.encode_rank, plan.decode_rank})
        self._staging = staging
        self._note = note
        self._lanes = local.pool.lanes
        self._wakes: tuple[Paths | None, tuple[int, ...]] = (None, ())  # of which paths
        self._open_streams = 0
        self._streams = 0
        self.decoded_chunks = 0
        self.leader = Leader(workers, ranks=plan.ranks, on_end=self._moves.passed)
        self.placement = Placement(
            encode_rank=plan.encode_rank,
            decode_rank=plan.decode_rank,
            paths=plan.rank_paths,
            path_of_step=plan.path_of_step,
        )

    # ---- what it is

    @property
    def preset(self) -> str:
        return self._local.preset

    @property
    def geometry(self) -> Geometry:
        return self._local.geometry

    @property
    def sizes(self) -> tuple[ScaledSize, ...]:
        return self._local.sizes

    def begin_at(self, size: FrameSize) -> None:
        assert size == self.geometry.size, "a group of ranks has one size"

    @property
    def max_streams(self) -> int:
        return self._local.max_streams

    @property
    def defaults(self) -> Parameters:
        return self._local.defaults

    @property
    def step_list(self) -> tuple[int, ...]:
        return self._local.step_list

    @property
    def noise_scale_range(self) -> tuple[float, float]:
        return self._local.noise_scale_range

    @property
    def levels(self) -> Levels:
        return self._local.levels

    @property
    def fps(self) -> float:
        return self._local.fps

    @property
    def vocabulary(self) -> Vocabulary:
        return self._local.vocabulary

    @property
    def note(self) -> str:
        return "; ".join(filter(None, (self._local.note, self._note, self._moves.reason)))

    @property
    def plan(self) -> PipelinePlan:
        """That new chunks run under."""
        return self._moves.paths.plan

    def understood(self, prompts: Prompts) -> str:
        return self._local.understood(prompts)

    # ---- streams

    def open(self, parameters: Parameters) -> GroupStream:
        if self._open_streams >= self._lanes:
            raise AdmissionError(
                f"{self._lanes} streams are open, the limit is {self._lanes}; wait until "
                "a viewer leaves, or start the engine with a larger --max-streams"
            )
        host = self._local.fresh_host(self.geometry.size)
        host.apply(self.defaults.merged(parameters))
        host.begin()
        self._streams += 1
        self._open_streams += 1
        self._moves.open(self._streams)
        self.leader.tell_all(OpenLane(stream=self._streams))
        return GroupStream(self, self._streams, host)

    def close_stream(self, stream: int) -> None:
        """End a stream; its passes under way end as they would."""
        self._open_streams -= 1
        self.leader.tell_all(CloseLane(stream=stream))
        self._give(self._moves.close(stream))
        self.leader.send()

    def begin(
        self, stream: int, order: ChunkOrder, embedding_TE: Tensor | None, frames_THW: I420
    ) -> GroupChunk:
        """Encode a chunk.

        Args:
            embedding_TE: of its prompts; None for that of the chunk before.
        """
        before = self._moves.epoch
        self._give(self._moves.begin(stream, order.number))
        if self._moves.epoch != before:
            logger.info("%s", self._moves.reason)
        chunk = GroupChunk(
            stream=stream,
            number=order.number,
            latents=order.position.frames,
            is_first=order.is_first,
            steps=len(order.settings.step_list),
            epoch=self._moves.epoch,
            paths=self._moves.paths,
        )
        if embedding_TE is not None:
            self._send_prompt(stream, embedding_TE)
        submitted = self.leader.submit(chunk.part(is_codec=True), parts=1)
        self._staging.put_input(submitted.number, frames_THW)
        self.leader.tell_all(
            BeginChunk(
                number=submitted.number,
                epoch=chunk.epoch,
                stream=stream,
                chunk=order.number,
                frames=len(frames_THW),
                is_first=order.is_first,
                resets_cache=order.resets_cache,
                position=order.position,
                settings=order.settings,
                has_prompt=embedding_TE is not None,
            )
        )
        self.leader.send(self._codec_ranks)  # the others have nothing to do before its first step
        return chunk

    def denoise(self, chunks: Sequence[GroupChunk]) -> None:
        for chunk in chunks:
            self._denoise(chunk)
        self.leader.send()

    def decode(self, chunk: GroupChunk, out_THW: I420) -> StagedFrames:
        """Decode a chunk; its frames are there when the pass has ended."""
        self.decoded_chunks += 1
        part = chunk.part(is_codec=True, is_last=True)
        submitted = self.leader.submit(part, parts=2 if self._plan.decode_rank else 1)
        self._staging.expect_output(submitted.number, out_THW)
        self.leader.tell_all(
            Decode(
                number=submitted.number,
                stream=chunk.stream,
                chunk=chunk.number,
                frames=len(out_THW),
            )
        )
        self._give(self._moves.end(chunk.stream))
        self.leader.send(self._codec_ranks)

        def frames() -> I420:
            self.leader.wait_for(submitted)
            return self._staging.take_output(submitted.number)

        return StagedFrames(wait=frames, out_THW=out_THW)

    def copy_row(self, stream: int, from_step: int, to_step: int) -> None:
        """Give the cache of a step to another one, wherever its blocks are."""
        for source in self._moves.holders(stream, from_step).path(from_step):
            for target in self._moves.holders(stream, to_step).path(to_step):
                first = max(source.first_block, target.first_block)
                end = min(source.end_block, target.end_block)
                if first < end:
                    order = CopyRow(
                        stream=stream,
                        from_step=from_step,
                        to_step=to_step,
                        first_block=first,
                        end_block=end,
                        source=source.rank,
                        target=target.rank,
                    )
                    self._give([Order((source.rank, target.rank), order)])

    def _denoise(self, chunk: GroupChunk) -> None:
        step, is_first, all_paths = chunk.steps_done, chunk.is_first, chunk.paths
        self._give(self._moves.take_step(chunk))
        paths = all_paths.taken_by(step, steps=chunk.steps, is_first=is_first)
        submitted = self.leader.submit(
            chunk.part(),
            parts=sum(len(all_paths.segments[path]) for path in paths),
            path=paths[0] if not is_first else None,
        )
        for path in paths:
            for place, segment in enumerate(all_paths.segments[path]):
                self.leader.tell(
                    segment.rank,
                    RunPart(
                        number=submitted.number,
                        epoch=chunk.epoch,
                        stream=chunk.stream,
                        chunk=chunk.number,
                        step=step,
                        frames=chunk.latents,
                        path=path,
                        place=place,
                    ),
                )
            after = all_paths.after(path, step, steps=chunk.steps, is_first=is_first)
            source = all_paths.last_rank(path)
            if after is not None and (target := all_paths.first_rank(after)) != source:
                self.leader.tell(
                    target,
                    ExpectLatents(
                        stream=chunk.stream,
                        chunk=chunk.number,
                        frames=chunk.latents,
                        path=after,
                        source=source,
                    ),
                )
        chunk.steps_done += 1

    def _give(self, orders: Iterable[Order]) -> None:
        given = list(orders)
        for one in given:
            for rank in sorted(set(one.ranks)):
                self.leader.tell(rank, one.order)
        if given:
            self.leader.send()

    def _send_prompt(self, stream: int, embedding_TE: Tensor) -> None:
        rows_TE = embedding_TE.float().cpu().numpy()
        live = np.flatnonzero(rows_TE.any(axis=1))
        data = rows_TE[: live[-1] + 1 if len(live) else 1].tobytes()
        for start in range(0, len(data), _PIECE_BYTES):
            piece = PromptPiece(stream=stream, data=data[start : start + _PIECE_BYTES])
            self.leader.tell_all(piece)

    # ---- passes

    @property
    def wakes(self) -> tuple[int, ...]:
        """Descriptors that can be read from when a pass has ended, or may begin on another rank; at
        rest also when any rank has ended.

        What ranks in the middle of a path report is read along with the rest.
        """
        if not len(self.leader.passes):
            return self.leader.wakes()
        if self._wakes[0] is not self._moves.paths:
            paths = self._moves.paths
            ranks = {
                *self._codec_ranks,
                *(path[at].rank for path in paths.segments for at in (0, -1)),
            }
            self._wakes = paths, self.leader.wakes(sorted(ranks))
        return self._wakes[1]

    def submitted(self) -> PassCompletion | None:
        return self.leader.submitted()

    def finish(self) -> None:
        """See `Leader.finish`."""
        self.leader.finish()

    def read(self, wait_s: float) -> bool:
        """See `Leader.read`."""
        return self.leader.read(wait_s)

    # ---- from start to end

    def warm_up(self) -> None:
        """Generate chunks of throw-away streams on every lane: the first ones are slow."""
        is_recorded = self._local.records_graphs
        slots = self._local.maker.preset.cache.slots
        chunks = slots + _WARM_CHUNKS if is_recorded else _WARM_CHUNKS
        streams = [self.open(Parameters()) for _ in range(self._lanes if is_recorded else 1)]
        for stream in streams:
            for number in range(chunks):
                shape = (self.geometry.frames_of(number), *self.geometry.frame_shape)
                grey_THW = np.full(shape, 128, dtype=np.uint8)
                stream.step(grey_THW, np.empty_like(grey_THW))
        for stream in streams:
            stream.close()

    def close(self) -> None:
        self.leader.stop()
        self._local.close()

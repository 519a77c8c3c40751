"""A group of ranks behind the interface of one pipeline: the leader's side.

The caller orders stages, and gets their ends by `submitted`; several may be under way. What depends
on a stage is best ordered once that has ended: a rank does what it is told in that order, and would
wait for another one while it could do something else.
"""

import select
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from slipstream_protocol.channel import Channel, ChannelClosed
from slipstream_protocol.clock import NS_PER_S, now_ns
from slipstream_protocol.frames import I420, Geometry
from slipstream_protocol.levels import Levels
from slipstream_protocol.messages import Vocabulary
from slipstream_protocol.parameters import Parameters, Prompts
from torch import Tensor

from slipstream_engine.diffusion.pipeline import DiffusionPipeline
from slipstream_engine.diffusion.stream_host import ChunkOrder
from slipstream_engine.errors import AdmissionError, DeviceLostError
from slipstream_engine.group.messages import (
    BeginChunk,
    CloseLane,
    CopyRow,
    Decode,
    ExpectLatents,
    FromRank,
    OpenLane,
    PassEnded,
    PromptPiece,
    RankFailed,
    RankMemory,
    RunPart,
    TellMemory,
    ToRank,
)
from slipstream_engine.group.passes import GroupPass, Passes
from slipstream_engine.group.paths import Paths
from slipstream_engine.group.staging import Staging
from slipstream_engine.group.stream import GroupChunk, GroupStream, StagedFrames
from slipstream_engine.group.workers import Workers
from slipstream_engine.scheduling.types import Placement

SILENT_S = 30.0  # a pass that takes longer is taken for one that never ends
_PIECE_BYTES = 1 << 19
_WARM_CHUNKS = 3


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PassCompletion:
    """The end of a pass; a `Completion`."""

    group: "GroupPipeline"
    submitted: GroupPass

    def query(self) -> bool:
        """Whether it has ended, by what has been read of the ranks."""
        return self.submitted.has_ended

    @property
    def span_ns(self) -> tuple[int, int]:
        """When the first rank began it, and when the last one ended it."""
        return self.submitted.began_ns, self.submitted.ended_ns

    def hop_ns(self, hop: int) -> tuple[int, int] | None:
        """See `GroupPass.hop_ns`."""
        return self.submitted.hop_ns(hop)

    def synchronize(self) -> None:
        """Wait for it.

        Raises:
            DeviceLostError: if a rank is lost meanwhile.
        """
        self.group.wait_for(self.submitted)


class GroupPipeline:
    """See `Pipeline` in `serving/pipeline_protocol.py`.

    Args:
        local: what the first rank runs of the model; its text encoder is the group's.
        paths: of the plan.
        workers: all ranks, running.
        note: on the plan, for people.

    Attributes:
        passes: under way, and the time of each rank.
        placement: the ranks of the stages.
        decoded_chunks: how many have been ordered.
    """

    name = "diffusion"
    max_batch = 1  # the ranks are kept busy by several chunks, one in each

    def __init__(
        self,
        local: DiffusionPipeline[Any],
        paths: Paths,
        workers: Workers,
        staging: Staging,
        *,
        note: str,
    ) -> None:
        self._local = local
        self._paths = paths
        self._workers = workers
        self._staging = staging
        self._note = note
        self._lanes = local.pool.lanes
        self._open_streams = 0
        self._streams = 0
        self._memory: dict[int, RankMemory] = {}
        self._last: GroupPass | None = None
        self.decoded_chunks = 0
        self.passes = Passes(paths.plan.ranks)
        self.placement = Placement(
            encode_rank=paths.plan.encode_rank,
            decode_rank=paths.plan.decode_rank,
            paths=paths.plan.rank_paths,
            path_of_step=paths.plan.path_of_step,
        )

    # ---- what it is

    @property
    def preset(self) -> str:
        return self._local.preset

    @property
    def geometry(self) -> Geometry:
        return self._local.geometry

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
        return "; ".join(filter(None, (self._local.note, self._note)))

    def understood(self, prompts: Prompts) -> str:
        return self._local.understood(prompts)

    # ---- streams

    def open(self, parameters: Parameters) -> GroupStream:
        if self._open_streams >= self._lanes:
            raise AdmissionError(
                f"{self._lanes} streams are open, the limit is {self._lanes}; wait until "
                "a viewer leaves, or start the engine with a larger --max-streams"
            )
        host = self._local.fresh_host()
        host.apply(self.defaults.merged(parameters))
        host.begin()
        self._streams += 1
        self._open_streams += 1
        self._tell_all(OpenLane(stream=self._streams))
        return GroupStream(self, self._streams, host)

    def close_stream(self, stream: int) -> None:
        """End a stream; its passes under way end as they would."""
        self._open_streams -= 1
        self._tell_all(CloseLane(stream=stream))

    def begin(
        self, stream: int, order: ChunkOrder, embedding_TE: Tensor | None, frames_THW: I420
    ) -> None:
        """Encode a chunk.

        Args:
            embedding_TE: of its prompts; None for that of the chunk before.
        """
        if embedding_TE is not None:
            self._send_prompt(stream, embedding_TE)
        submitted = self._submit(parts=1)
        self._staging.put_input(submitted.number, frames_THW)
        self._tell_all(
            BeginChunk(
                number=submitted.number,
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

    def denoise(self, chunks: Sequence[GroupChunk]) -> None:
        for chunk in chunks:
            self._denoise(chunk)

    def decode(self, chunk: GroupChunk, out_THW: I420) -> StagedFrames:
        """Decode a chunk; its frames are there when the pass has ended."""
        self.decoded_chunks += 1
        decoder = self._paths.plan.decode_rank
        submitted = self._submit(parts=2 if decoder else 1)
        self._staging.expect_output(submitted.number, out_THW)
        self._tell_all(
            Decode(
                number=submitted.number,
                stream=chunk.stream,
                chunk=chunk.number,
                frames=len(out_THW),
            )
        )

        def frames() -> I420:
            self.wait_for(submitted)
            return self._staging.take_output(submitted.number)

        return StagedFrames(wait=frames, out_THW=out_THW)

    def copy_row(self, stream: int, from_step: int, to_step: int) -> None:
        """Give the cache of a step to another one, wherever its blocks are."""
        for source in self._paths.plan.path(from_step):
            for target in self._paths.plan.path(to_step):
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
                    for rank in sorted({source.rank, target.rank}):
                        self._tell(rank, order)

    def _denoise(self, chunk: GroupChunk) -> None:
        step, is_first = chunk.steps_done, chunk.is_first
        paths = self._paths.taken_by(step, steps=chunk.steps, is_first=is_first)
        submitted = self._submit(
            parts=sum(len(self._paths.segments[path]) for path in paths),
            path=paths[0] if not is_first else None,
        )
        for path in paths:
            for place, segment in enumerate(self._paths.segments[path]):
                self._tell(
                    segment.rank,
                    RunPart(
                        number=submitted.number,
                        stream=chunk.stream,
                        chunk=chunk.number,
                        step=step,
                        frames=chunk.latents,
                        path=path,
                        place=place,
                    ),
                )
            after = self._paths.after(path, step, steps=chunk.steps, is_first=is_first)
            source = self._paths.last_rank(path)
            if after is not None and (target := self._paths.first_rank(after)) != source:
                self._tell(
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

    def _send_prompt(self, stream: int, embedding_TE: Tensor) -> None:
        rows_TE = embedding_TE.float().cpu().numpy()
        live = np.flatnonzero(rows_TE.any(axis=1))
        data = rows_TE[: live[-1] + 1 if len(live) else 1].tobytes()
        for start in range(0, len(data), _PIECE_BYTES):
            piece = PromptPiece(stream=stream, data=data[start : start + _PIECE_BYTES])
            self._tell_all(piece)

    # ---- passes

    @property
    def wakes(self) -> tuple[int, ...]:
        """Descriptors that can be read from when a pass has ended, or a rank."""
        return tuple(channel.fileno() for channel in self._workers.channels)

    def submitted(self) -> PassCompletion | None:
        assert self._last is not None, "nothing was ordered"
        return PassCompletion(group=self, submitted=self._last)

    def finish(self) -> None:
        """Wait until all passes have ended.

        Raises:
            DeviceLostError: if a rank is lost meanwhile.
        """
        while len(self.passes):
            self.wait_for(next(iter(self.passes)))

    def wait_for(self, submitted: GroupPass) -> None:
        """Wait until a pass has ended.

        Raises:
            DeviceLostError: if a rank is lost meanwhile, or nothing has ended for `SILENT_S`.
        """
        while not submitted.has_ended:
            if not self.read(SILENT_S):
                raise DeviceLostError(self._silence())

    def read(self, wait_s: float) -> bool:
        """Take in what the ranks report; returns whether there was anything.

        Raises:
            DeviceLostError: if a rank is lost.
        """
        readable, _, _ = select.select(self._workers.channels, [], [], wait_s)
        for channel in readable:
            self._read_channel(channel)
        return bool(readable)

    def _read_channel(self, channel: Channel[FromRank]) -> None:
        rank = self._workers.channels.index(channel)
        try:
            while report := channel.receive(0.0):
                match report:
                    case PassEnded():
                        self.passes.report(report)
                    case RankMemory():
                        self._memory[rank] = report
                    case RankFailed(reason=reason):
                        raise DeviceLostError(f"{self._workers.name(rank)} has failed: {reason}")
        except ChannelClosed:
            raise DeviceLostError(
                f"{self._workers.name(rank)} has ended{self._workers.exit_of(rank)}; "
                "the engine starts again with the ranks that come back"
            ) from None

    def _silence(self) -> str:
        oldest_ns = self.passes.oldest_ns or now_ns()
        return (
            f"no rank has ended its part for {(now_ns() - oldest_ns) / NS_PER_S:.0f} s, one hangs; "
            "the engine must start again"
        )

    def _submit(self, *, parts: int, path: int | None = None) -> GroupPass:
        number = self.passes.next_number()
        self._last = GroupPass(number=number, parts=parts, submitted_ns=now_ns(), path=path)
        self.passes.add(self._last)
        return self._last

    def _tell_all(self, order: ToRank) -> None:
        for rank in range(self._paths.plan.ranks):
            self._tell(rank, order)

    def _tell(self, rank: int, order: ToRank) -> None:
        try:
            self._workers.channels[rank].send(order)
        except ChannelClosed:
            self._read_channel(self._workers.channels[rank])  # it may have said why
            raise DeviceLostError(f"{self._workers.name(rank)} has ended") from None

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

    def memory(self) -> list[RankMemory]:
        """Of each rank, asked now."""
        self._memory.clear()
        self._tell_all(TellMemory())
        while len(self._memory) < self._paths.plan.ranks:
            if not self.read(SILENT_S):
                raise DeviceLostError(self._silence())
        return [self._memory[rank] for rank in range(self._paths.plan.ranks)]

    def close(self) -> None:
        self._workers.stop()
        self._local.close()

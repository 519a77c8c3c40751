"""One rank at work: it does its part of every pass, in the order in which it is told.

What other ranks will send is asked for as soon as an order is read, and orders are read before each
computation: the next chunk travels while this one is computed.
"""

import threading
from collections import deque
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import partial
from queue import SimpleQueue
from typing import Any

import torch
import torch.nn.functional as F
from slipstream_protocol.channel import Channel, ChannelClosed
from slipstream_protocol.clock import now_ns
from slipstream_protocol.frames import I420
from slipstream_protocol.parameters import MAX_STEPS
from torch import Tensor

from slipstream_engine.codec.absent import sees_camera
from slipstream_engine.codec.color import i420_from_rgb, rgb_from_i420
from slipstream_engine.device.memory import peak_bytes
from slipstream_engine.device.precision import reduced_precision_matmul
from slipstream_engine.diffusion.chunk import LatentChunk
from slipstream_engine.diffusion.denoise import Part
from slipstream_engine.diffusion.lane_pool import LaneMemory
from slipstream_engine.diffusion.pipeline import DiffusionPipeline
from slipstream_engine.diffusion.state import StreamState
from slipstream_engine.diffusion.stream_host import ChunkOrder
from slipstream_engine.group.mail import Mail
from slipstream_engine.group.messages import (
    DECODER,
    BeginChunk,
    CloseLane,
    CopyRow,
    Decode,
    ExpectLatents,
    FromRank,
    OpenLane,
    PassEnded,
    PromptPiece,
    RankMemory,
    RunPart,
    StopRank,
    TellMemory,
    ToRank,
)
from slipstream_engine.group.paths import Paths, share_of
from slipstream_engine.group.staging import Staging
from slipstream_engine.parallel.links import Arrival


@dataclass(slots=True, kw_only=True, eq=False)
class _Lane:
    memory: LaneMemory[Any]
    state: StreamState[Any]
    prompt_rows: bytearray = field(default_factory=bytearray)


@dataclass(slots=True, kw_only=True, eq=False)
class _Chunk:
    """A chunk under way, with the latents that wait here, by the path that goes on with them."""

    latent: LatentChunk[Any]
    waiting: dict[int, Arrival | dict[str, Tensor]] = field(default_factory=dict)


class Rank:
    """See the module.

    Args:
        rank: its number.
        pipeline: of its share of the model; only its device's half is used.
        channel: to the leader.
        staging: frames of the host, where this is the leader's own rank.
    """

    def __init__(
        self,
        rank: int,
        paths: Paths,
        pipeline: DiffusionPipeline[Any],
        mail: Mail,
        channel: Channel[ToRank],
        staging: Staging | None = None,
    ) -> None:
        share = share_of(paths.plan, rank)
        self._rank = rank
        self._plan = paths.plan
        self._paths = paths
        self._pipeline = pipeline
        self._maker = pipeline.maker
        self._mail = mail
        self._channel = channel
        self._staging = staging
        self._layer_of = {block: layer for layer, block in enumerate(share.blocks)}
        self._row_of = {step: row for row, step in enumerate(share.steps)}
        self._sees_camera = sees_camera(pipeline.bundle.codec)
        self._lanes: dict[int, _Lane] = {}
        self._chunks: dict[tuple[int, int], _Chunk] = {}
        self._queue: deque[Callable[[], None]] = deque()
        self._sending = threading.Lock()
        self._submitted: SimpleQueue[tuple[Any, Callable[..., PassEnded]] | None] = SimpleQueue()
        self._is_stopped = False

    @torch.inference_mode()
    def serve(self) -> None:
        """Carry out orders until the leader says so, or is gone."""
        reporter = threading.Thread(target=self._report_ends, daemon=True)
        reporter.start()
        try:
            while not self._is_stopped:
                self._read()
                self._queue.popleft()()
        except ChannelClosed:
            return
        finally:
            self._submitted.put(None)
            reporter.join()

    def _read(self) -> None:
        """Prepare all orders that have come; wait for one if there is nothing to do."""
        while order := self._channel.receive(0.0 if self._queue else None):
            self._queue.append(self._prepared(order))

    def _prepared(self, order: ToRank) -> Callable[[], None]:
        match order:
            case BeginChunk():
                return partial(self._begin, order, *self._arrivals_of(order))
            case RunPart(place=0):
                return partial(self._run_part, order, None)
            case RunPart():
                sender = self._paths.segments[order.path][order.place - 1].rank
                layout = self._mail.layouts.of_activations(order.frames)
                return partial(self._run_part, order, self._mail.expect(sender, layout))
            case ExpectLatents():
                layout = self._mail.layouts.of_latents(order.frames)
                arrival = self._mail.expect(order.source, layout)
                return partial(self._keep, order, arrival)
            case Decode():
                return self._prepared_decode(order)
            case OpenLane(stream=stream):
                return partial(self._open, stream)
            case CloseLane(stream=stream):
                return partial(self._close, stream)
            case PromptPiece():
                return partial(self._add_prompt, order)
            case CopyRow():
                return self._prepared_copy(order)
            case TellMemory():
                return self._tell_memory
            case StopRank():
                return self._stop
            case _:
                raise AssertionError(f"{order} comes first only")

    # ---- streams

    def _open(self, stream: int) -> None:
        memory = self._pipeline.pool.acquire()
        self._lanes[stream] = _Lane(memory=memory, state=self._pipeline.fresh_state(memory))

    def _close(self, stream: int) -> None:
        for key in [key for key in self._chunks if key[0] == stream]:
            self._forget(key)
        self._pipeline.pool.release(self._lanes.pop(stream).memory)

    def _forget(self, key: tuple[int, int]) -> None:
        for waiting in self._chunks.pop(key).waiting.values():
            if isinstance(waiting, Arrival):  # it has been sent, so it will come
                waiting.fields()
                waiting.release()

    def _add_prompt(self, piece: PromptPiece) -> None:
        self._lanes[piece.stream].prompt_rows += piece.data

    def _prepared_copy(self, order: CopyRow) -> Callable[[], None]:
        """Give a step's cache to another step, on this rank or from one to another."""
        layers = self._layers(order.first_block, order.end_block)
        if self._rank != order.source:
            likes = self._pipeline.pool.cache.row_tensors(0, layers)
            expected = self._mail.expect_tensors(order.source, likes)
            return lambda: _copy(expected.result(), self._row(order, order.to_step, layers))

        def give() -> None:
            sent = self._row(order, order.from_step, layers)
            if order.target == self._rank:
                _copy(sent, self._row(order, order.to_step, layers))
            else:
                self._mail.send_tensors(order.target, sent)

        return give

    def _row(self, order: CopyRow, step: int, layers: range) -> list[Tensor]:
        cache = self._lanes[order.stream].state.step_cache.cache
        return cache.row_tensors(self._row_of[step], layers)

    def _layers(self, first_block: int, end_block: int) -> range:
        first = self._layer_of[first_block]
        return range(first, first + end_block - first_block)

    # ---- encode

    def _arrivals_of(self, order: BeginChunk) -> tuple[Arrival | None, dict[int, Arrival]]:
        """The frames of a chunk, and its latents by path, as far as other ranks send them here."""
        layouts, encoder = self._mail.layouts, self._plan.encode_rank
        frames = None
        if self._needs_frames(self._rank) and self._rank:
            frames = self._mail.expect(0, layouts.of_pixels(order.frames))
        latents = {
            path: self._mail.expect(encoder, layouts.of_latents(order.position.frames))
            for path in self._begun_by(order)
            if self._paths.first_rank(path) == self._rank != encoder
        }
        return frames, latents

    def _needs_frames(self, rank: int) -> bool:
        decodes = rank == self._plan.decode_rank and self._sees_camera
        return rank == self._plan.encode_rank or decodes

    def _begun_by(self, order: BeginChunk) -> tuple[int, ...]:
        steps = len(order.settings.step_list)
        return self._paths.begun_by(steps=steps, is_first=order.is_first)

    def _begin(
        self, order: BeginChunk, arrived: Arrival | None, latents: dict[int, Arrival]
    ) -> None:
        began_ns = now_ns()
        lane = self._lanes[order.stream]
        chunk_order = self._chunk_order(order, lane)
        rgb_TCHW = self._frames(order, arrived)
        if self._rank != self._plan.encode_rank:
            chunk = _Chunk(latent=self._maker.begin(chunk_order, lane.state))
            chunk.waiting.update(latents)
            if rgb_TCHW is not None:
                self._maker.keep_camera(chunk.latent, rgb_TCHW)
            self._chunks[order.stream, order.chunk] = chunk
            return
        assert rgb_TCHW is not None, "the encoder gets the frames"
        chunk = _Chunk(latent=self._maker.encode(chunk_order, rgb_TCHW, lane.state))
        self._chunks[order.stream, order.chunk] = chunk
        timesteps_I = chunk.latent.timesteps_I
        made = {
            "x": chunk.latent.x_FCHW,
            "timesteps": F.pad(timesteps_I, (0, MAX_STEPS - len(timesteps_I))),
        }
        for path in self._begun_by(order):
            self._pass_on(chunk, path, made)
        self._ended(order.number, began_ns)

    def _chunk_order(self, order: BeginChunk, lane: _Lane) -> ChunkOrder:
        prompt_TE = None
        if order.has_prompt:
            model = self._maker.model
            rows_TE = torch.frombuffer(lane.prompt_rows, dtype=torch.float32)
            rows_TE = rows_TE.view(-1, model.params.text_dim)
            prompt_TE = rows_TE.to(device=model.device, dtype=model.dtype)
            lane.prompt_rows = bytearray()
        return ChunkOrder(
            number=order.chunk,
            is_first=order.is_first,
            resets_cache=order.resets_cache,
            position=order.position,
            settings=order.settings,
            prompt_TE=prompt_TE,
        )

    def _frames(self, order: BeginChunk, arrived: Arrival | None) -> Tensor | None:
        """The chunk's frames as RGB, where this rank needs them; the leader's rank sends them."""
        if self._staging is not None:
            frames_THW = self._staging.take_input(order.number)
            with self._pipeline.transfers.upload.sent(frames_THW) as sent_THW:
                layout = self._mail.layouts.of_pixels(order.frames)
                for rank in {self._plan.encode_rank, self._plan.decode_rank} - {self._rank}:
                    if self._needs_frames(rank):
                        self._mail.send(rank, layout, {"frames": sent_THW})
                return rgb_from_i420(sent_THW) if self._needs_frames(self._rank) else None
        if arrived is None:
            return None
        rgb_TCHW = rgb_from_i420(arrived.fields()["frames"])
        arrived.release()
        return rgb_TCHW

    # ---- denoise

    def _keep(self, order: ExpectLatents, arrival: Arrival) -> None:
        self._chunks[order.stream, order.chunk].waiting[order.path] = arrival

    def _run_part(self, order: RunPart, arrival: Arrival | None) -> None:
        chunk = self._chunks[order.stream, order.chunk]
        latent, path = chunk.latent, self._paths.segments[order.path]
        segment = path[order.place]
        latent.steps_done = order.step
        fields = self._take(chunk, order.path) if arrival is None else arrival.fields()
        latent.timesteps_I = fields["timesteps"][: latent.steps].clone()
        began_ns = now_ns()
        x_FCHW = fields["x"]
        if not order.place:
            x_FCHW = self._maker.noised(latent, x_FCHW)
        part = Part(
            self._layers(segment.first_block, segment.end_block),
            embeds=order.place == 0,
            heads=segment is path[-1],
        )
        first_row = self._row_of[segment.steps[0]]
        row = first_row if latent.is_first else self._row_of[order.step]
        is_reduced = self._maker.preset.reduced_precision
        with reduced_precision_matmul() if is_reduced else nullcontext():
            made = self._maker.run_part(latent, x_FCHW, row, part, fields.get("tokens"))
        if latent.is_first and order.step + 1 == latent.steps:
            cache = latent.state.step_cache.cache
            first = cache.row_tensors(first_row, part.layers)
            for step in segment.steps[1:]:
                _copy(first, cache.row_tensors(self._row_of[step], part.layers))
        latents = {"x": made if part.heads else x_FCHW, "timesteps": fields["timesteps"]}
        if part.heads:
            after = self._paths.after(
                order.path, order.step, steps=latent.steps, is_first=latent.is_first
            )
            if after is not None:
                self._pass_on(chunk, after, latents)
        else:
            layout = self._mail.layouts.of_activations(order.frames)
            self._mail.send(path[order.place + 1].rank, layout, {**latents, "tokens": made})
        if arrival is not None:
            arrival.release()
        self._ended(order.number, began_ns, order.path, order.place)

    def _pass_on(self, chunk: _Chunk, path: int, latents: dict[str, Tensor]) -> None:
        """Latents to the rank that goes on with them, which may be this one."""
        rank = self._paths.first_rank(path)
        if rank == self._rank:
            chunk.waiting[path] = {name: tensor.clone() for name, tensor in latents.items()}
        else:
            layout = self._mail.layouts.of_latents(len(latents["x"]))
            self._mail.send(rank, layout, latents)

    @staticmethod
    def _take(chunk: _Chunk, path: int) -> dict[str, Tensor]:
        """The latents that a path goes on with, in memory of their own."""
        waiting = chunk.waiting.pop(path)
        if isinstance(waiting, dict):
            return waiting
        fields = {name: view.clone() for name, view in waiting.fields().items()}
        waiting.release()
        return fields

    # ---- decode

    def _prepared_decode(self, order: Decode) -> Callable[[], None]:
        if self._rank == self._plan.decode_rank:
            return partial(self._decode, order)
        if self._staging is None:
            return partial(self._forget, (order.stream, order.chunk))
        layout = self._mail.layouts.of_pixels(order.frames)
        arrival = self._mail.expect(self._plan.decode_rank, layout)
        return partial(self._await_pixels, order, arrival)

    def _decode(self, order: Decode) -> None:
        chunk = self._chunks[order.stream, order.chunk]
        latents = self._take(chunk, DECODER)
        began_ns = now_ns()
        chunk.latent.x_FCHW = latents["x"]
        made_THW = i420_from_rgb(self._maker.decode(chunk.latent))
        self._forget((order.stream, order.chunk))
        if self._staging is not None:
            self._deliver(order.number, made_THW, began_ns)
        else:
            layout = self._mail.layouts.of_pixels(order.frames)
            self._mail.send(0, layout, {"frames": made_THW})
            self._ended(order.number, began_ns)

    def _await_pixels(self, order: Decode, arrival: Arrival) -> None:
        """Let a thread wait for them, as this rank has other work meanwhile."""
        self._forget((order.stream, order.chunk))
        threading.Thread(target=self._collect, args=(order, arrival), daemon=True).start()

    @torch.inference_mode()
    def _collect(self, order: Decode, arrival: Arrival) -> None:
        made_THW = arrival.fields()["frames"]
        self._deliver(order.number, made_THW, now_ns())
        arrival.release()

    def _deliver(self, number: int, made_THW: Tensor, began_ns: int) -> None:
        """Frames to the host's memory, where the leader expects them."""
        assert self._staging is not None, "the leader's rank has the host's memory"
        out_THW: I420 = self._staging.output(number)
        fetch = self._pipeline.transfers.download.fetch(made_THW, out_THW)
        if fetch is not None:
            fetch.finish()
        self._ended(number, began_ns)

    # ---- to the leader

    def _ended(self, number: int, began_ns: int, path: int = 0, place: int = 0) -> None:
        """Report the end of what has been submitted, without waiting for it here."""
        sent_bytes, completion = self._mail.sent_bytes, self._pipeline.submitted()
        report = partial(
            PassEnded,
            rank=self._rank,
            number=number,
            path=path,
            place=place,
            began_ns=began_ns,
            sent_bytes=sent_bytes,
        )
        if completion is None:
            self._tell(report(ended_ns=now_ns()))
        else:
            self._submitted.put((completion, report))

    def _report_ends(self) -> None:
        """In a thread, on a device that works by itself: report each end when it comes."""
        while entry := self._submitted.get():
            completion, report = entry
            completion.synchronize()
            self._tell(report(ended_ns=now_ns()))

    def _tell_memory(self) -> None:
        weights = self._pipeline.bundle.model.parameters()
        self._tell(
            RankMemory(
                rank=self._rank,
                peak_bytes=peak_bytes(self._maker.model.device),
                weights_bytes=sum(tensor.nbytes for tensor in weights),
                cache_bytes=self._pipeline.pool.cache.nbytes,
            )
        )

    def _tell(self, report: FromRank) -> None:
        with self._sending:
            self._channel.send(report)

    def _stop(self) -> None:
        self._is_stopped = True


def _copy(sources: list[Tensor], targets: list[Tensor]) -> None:
    for source, target in zip(sources, targets, strict=True):
        target.copy_(source)

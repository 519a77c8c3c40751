"""One rank at work: it does its part of every pass, in the order of `order_queue.py`.

What other ranks will send is asked for as soon as an order is read, and orders are read before each
computation: the next chunk travels while this one is computed.
"""

from collections.abc import Callable
from contextlib import nullcontext, suppress
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from slipstream_protocol.channel import Channel, ChannelClosed
from slipstream_protocol.frames import I420
from slipstream_protocol.parameters import MAX_STEPS
from torch import Tensor

from slipstream_engine.codec.absent import sees_camera
from slipstream_engine.codec.color import i420_from_rgb, rgb_from_i420
from slipstream_engine.device.precision import reduced_precision_matmul
from slipstream_engine.diffusion.denoise import Part
from slipstream_engine.diffusion.pipeline import DiffusionPipeline
from slipstream_engine.group.mail import Mail
from slipstream_engine.group.messages import (
    DECODER,
    BeginChunk,
    CloseLane,
    CopyRow,
    Decode,
    DropPlan,
    ExpectLatents,
    OpenLane,
    PromptPiece,
    RunPart,
    StopRank,
    TakePlan,
    TellMemory,
    ToRank,
)
from slipstream_engine.group.order_queue import OrderQueue, QueuedOrder
from slipstream_engine.group.paths import Paths, share_of
from slipstream_engine.group.rank_reports import Began, RankReports
from slipstream_engine.group.rank_streams import RankChunk, RankStreams
from slipstream_engine.group.staging import Staging
from slipstream_engine.parallel.links import Arrival
from slipstream_engine.parallel.message_flow import MessageFlow


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
        self._rank = rank
        self._plan = paths.plan  # its codec's ranks stay, whatever blocks move
        self._paths = {0: paths}  # by epoch
        self._pipeline = pipeline
        self._maker = pipeline.maker
        self._mail = mail
        self._channel = channel
        self._staging = staging
        self._sees_camera = sees_camera(pipeline.bundle.codec)
        self._streams = RankStreams(rank, share_of(paths.plan, rank), pipeline, mail)
        self._reports = RankReports(rank, channel, pipeline, mail)
        self._queue = OrderQueue()
        self._is_stopped = False

    @torch.inference_mode()
    def serve(self) -> None:
        """Carry out orders until the leader says so, or is gone."""
        self._reports.start()
        try:
            while not self._is_stopped:
                self._read()
                if order := self._queue.take():
                    order.run()
        except ChannelClosed:
            return
        finally:
            self._mail.close()
            self._reports.stop()

    def _read(self) -> None:
        """Prepare all orders that have come; if nothing can be done, wait for one, or for what an
        order waits for."""
        watch = self._mail.watch
        watch.heard()
        while order := self._channel.receive(
            0.0 if self._queue.ready() else None, or_readable=watch.wakes
        ):
            self._prepare(order)

    def _prepare(self, order: ToRank) -> None:
        match order:
            case BeginChunk():
                self._queue.add(self._prepared_begin(order))
            case RunPart():
                self._queue.add(self._prepared_part(order))
            case ExpectLatents():
                layout = self._mail.layouts.of_latents(order.frames)
                arrival = self._mail.expect(order.source, MessageFlow.STEPS, layout)
                self._streams.expected[order.stream, order.chunk, order.path] = arrival
            case Decode():
                self._queue.add(self._prepared_decode(order))
            case PromptPiece():
                run = partial(self._streams.add_prompt, order)
                self._queue.add(QueuedOrder(run=run, flow=MessageFlow.ENCODE))
            case _:
                self._queue.add(QueuedOrder(run=self._prepared(order)))

    def _prepared(self, order: ToRank) -> Callable[[], None]:
        """What overtakes nothing, and is not overtaken."""
        match order:
            case OpenLane(stream=stream):
                return partial(self._streams.open, stream)
            case CloseLane(stream=stream):
                return partial(self._streams.close, stream)
            case CopyRow():
                return self._streams.prepared_copy(order)
            case TakePlan():
                return self._prepared_plan(order)
            case DropPlan():
                return partial(self._drop_plan, order)
            case TellMemory():
                return self._reports.memory
            case StopRank():
                return self._stop
            case _:
                raise AssertionError(f"{order} comes first only")

    # ---- plans

    def _prepared_plan(self, order: TakePlan) -> Callable[[], None]:
        before = self._paths[order.epoch - 1].plan
        self._paths[order.epoch] = Paths(order.plan)
        return self._streams.prepared_blocks(before, order.plan)

    def _drop_plan(self, order: DropPlan) -> None:
        del self._paths[order.epoch]
        kept = self._paths[order.epoch + 1].plan.weights_of(self._rank)
        self._streams.hold_blocks(sorted(kept))

    # ---- encode

    def _prepared_begin(self, order: BeginChunk) -> QueuedOrder:
        """Ask for a chunk's frames, and its latents by path, as far as other ranks send them."""
        layouts, encoder = self._mail.layouts, self._plan.encode_rank
        first_rank = self._paths[order.epoch].first_rank
        frames = None
        if self._needs_frames(self._rank) and self._rank:
            frames = self._mail.expect(0, MessageFlow.ENCODE, layouts.of_pixels(order.frames))
        for path in self._begun_by(order):
            if first_rank(path) == self._rank != encoder:
                layout = layouts.of_latents(order.position.frames)
                arrival = self._mail.expect(encoder, MessageFlow.ENCODE, layout)
                self._streams.expected[order.stream, order.chunk, path] = arrival
        return QueuedOrder(
            run=partial(self._begin, order, frames),
            flow=MessageFlow.ENCODE,
            chunk=(order.stream, order.chunk),
            inputs=(frames,) if frames else (),
        )

    def _needs_frames(self, rank: int) -> bool:
        decodes = rank == self._plan.decode_rank and self._sees_camera
        return rank == self._plan.encode_rank or decodes

    def _begun_by(self, order: BeginChunk) -> tuple[int, ...]:
        steps = len(order.settings.step_list)
        return self._paths[order.epoch].begun_by(steps=steps, is_first=order.is_first)

    def _begin(self, order: BeginChunk, arrived: Arrival | None) -> None:
        state = self._streams.lanes[order.stream].state
        chunk_order = self._streams.chunk_order(order)
        rgb_TCHW = self._frames(order, arrived)
        began = self._reports.began()
        if self._rank != self._plan.encode_rank:
            chunk = RankChunk(latent=self._maker.begin(chunk_order, state))
            if rgb_TCHW is not None:
                self._maker.keep_camera(chunk.latent, rgb_TCHW)
            self._streams.chunks[order.stream, order.chunk] = chunk
            return
        assert rgb_TCHW is not None, "the encoder gets the frames"
        chunk = RankChunk(latent=self._maker.encode(chunk_order, rgb_TCHW, state))
        self._streams.chunks[order.stream, order.chunk] = chunk
        timesteps_I = chunk.latent.timesteps_I
        made = {
            "x": chunk.latent.x_FCHW,
            "timesteps": F.pad(timesteps_I, (0, MAX_STEPS - len(timesteps_I))),
        }
        for path in self._begun_by(order):
            first_rank = self._paths[order.epoch].first_rank(path)
            self._pass_on(chunk, first_rank, MessageFlow.ENCODE, path, made)
        self._reports.ended(order.number, began)

    def _frames(self, order: BeginChunk, arrived: Arrival | None) -> Tensor | None:
        """The chunk's frames as RGB, where this rank needs them; the leader's rank sends them."""
        if self._staging is not None:
            frames_THW = self._staging.take_input(order.number)
            with self._pipeline.transfers.upload.sent(frames_THW) as sent_THW:
                layout = self._mail.layouts.of_pixels(order.frames)
                for rank in {self._plan.encode_rank, self._plan.decode_rank} - {self._rank}:
                    if self._needs_frames(rank):
                        self._mail.send(rank, MessageFlow.ENCODE, layout, {"frames": sent_THW})
                return rgb_from_i420(sent_THW) if self._needs_frames(self._rank) else None
        if arrived is None:
            return None
        rgb_TCHW = rgb_from_i420(arrived.fields()["frames"])
        arrived.release()
        return rgb_TCHW

    # ---- denoise

    def _prepared_part(self, order: RunPart) -> QueuedOrder:
        arrival: Arrival | None
        if order.place:
            sender = self._paths[order.epoch].segments[order.path][order.place - 1].rank
            layout = self._mail.layouts.of_activations(order.frames)
            arrival = self._mail.expect(sender, MessageFlow.STEPS, layout)
        else:
            arrival = self._expected(order, order.path)
        return QueuedOrder(
            run=partial(self._run_part, order, arrival),
            flow=MessageFlow.STEPS,
            chunk=(order.stream, order.chunk),
            inputs=(arrival,) if arrival else (),
        )

    def _expected(self, order: RunPart | Decode, path: int) -> Arrival | None:
        """The latents that a path goes on with, if another rank sends them."""
        return self._streams.expected.pop((order.stream, order.chunk, path), None)

    def _run_part(self, order: RunPart, arrival: Arrival | None) -> None:
        chunk = self._streams.chunks[order.stream, order.chunk]
        paths = self._paths[order.epoch]
        latent, path = chunk.latent, paths.segments[order.path]
        segment = path[order.place]
        latent.steps_done = order.step
        fields = arrival.fields() if arrival else chunk.waiting.pop(order.path)
        latent.timesteps_I = fields["timesteps"][: latent.steps].clone()
        began = self._reports.began()
        x_FCHW = fields["x"]
        if not order.place:
            x_FCHW = self._maker.noised(latent, x_FCHW)
        part = Part(
            self._streams.layers(segment.first_block, segment.end_block),
            embeds=order.place == 0,
            heads=segment is path[-1],
        )
        first_row = self._streams.row_of[segment.steps[0]]
        row = first_row if latent.is_first else self._streams.row_of[order.step]
        is_reduced = self._maker.preset.reduced_precision
        with reduced_precision_matmul() if is_reduced else nullcontext():
            made = self._maker.run_part(latent, x_FCHW, row, part, fields.get("tokens"))
        if latent.is_first and order.step + 1 == latent.steps:
            self._streams.copy_first(latent, segment)
        latents = {"x": made if part.heads else x_FCHW, "timesteps": fields["timesteps"]}
        if part.heads:
            after = paths.after(
                order.path, order.step, steps=latent.steps, is_first=latent.is_first
            )
            if after is not None:
                self._pass_on(chunk, paths.first_rank(after), MessageFlow.STEPS, after, latents)
        else:
            layout = self._mail.layouts.of_activations(order.frames)
            target = path[order.place + 1].rank
            self._mail.send(target, MessageFlow.STEPS, layout, {**latents, "tokens": made})
        if arrival is not None:
            arrival.release()
        self._reports.ended(order.number, began, path=order.path, place=order.place)

    def _pass_on(
        self, chunk: RankChunk, rank: int, flow: MessageFlow, path: int, latents: dict[str, Tensor]
    ) -> None:
        """Latents to the rank that goes on with them, which may be this one."""
        if rank == self._rank:
            chunk.waiting[path] = {name: tensor.clone() for name, tensor in latents.items()}
        else:
            layout = self._mail.layouts.of_latents(len(latents["x"]))
            self._mail.send(rank, flow, layout, latents)

    # ---- decode

    def _prepared_decode(self, order: Decode) -> QueuedOrder:
        key = order.stream, order.chunk
        if self._rank == self._plan.decode_rank:
            latents = self._expected(order, DECODER)
            run = partial(self._decode, order, latents)
            inputs = (latents,) if latents else ()
            return QueuedOrder(run=run, flow=MessageFlow.DECODE, chunk=key, inputs=inputs)
        if self._staging is not None:  # it has other work when the frames come
            layout, deliver = (
                self._mail.layouts.of_pixels(order.frames),
                partial(self._collect, order),
            )
            self._mail.expect(self._plan.decode_rank, MessageFlow.DECODE, layout, deliver)
        run = partial(self._streams.forget, key)
        return QueuedOrder(run=run, flow=MessageFlow.DECODE, chunk=key)

    def _decode(self, order: Decode, arrival: Arrival | None) -> None:
        chunk = self._streams.chunks.pop((order.stream, order.chunk))
        latents = arrival.fields() if arrival else chunk.waiting.pop(DECODER)
        began = self._reports.began()
        chunk.latent.x_FCHW = latents["x"]
        made_THW = i420_from_rgb(self._maker.decode(chunk.latent))
        if arrival is not None:
            arrival.release()
        if self._staging is not None:
            self._deliver(order.number, made_THW, began)
        else:
            layout = self._mail.layouts.of_pixels(order.frames)
            self._mail.send(0, MessageFlow.DECODE, layout, {"frames": made_THW})
            self._reports.ended(order.number, began)

    @torch.inference_mode()
    def _collect(self, order: Decode, arrival: Arrival) -> None:
        made_THW = arrival.fields()["frames"]
        with suppress(ChannelClosed):  # the leader is gone, as the rank itself will notice
            self._deliver(order.number, made_THW, self._reports.began())
        arrival.release()

    def _deliver(self, number: int, made_THW: Tensor, began: Began) -> None:
        """Frames to the host's memory, where the leader expects them."""
        assert self._staging is not None, "the leader's rank has the host's memory"
        out_THW: I420 = self._staging.output(number)
        fetch = self._pipeline.transfers.download.fetch(made_THW, out_THW)
        self._reports.ended(number, began, wait=fetch.finish if fetch else None)

    def _stop(self) -> None:
        self._is_stopped = True

"""Family e: a stream batch whose blocks are split into ranges, as over several devices."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from einops import rearrange
from slipstream_engine.diffusion.denoise import Part, denoise
from slipstream_engine.group.arrival_watch import ArrivalWatch
from slipstream_engine.group.mail import Mail
from slipstream_engine.kv_cache.positions import BatchPositions
from slipstream_engine.kv_cache.rolling_cache import RollingCache
from slipstream_engine.parallel.message_flow import MessageFlow
from slipstream_engine.parallel.message_layouts import MessageLayouts
from slipstream_engine.parallel.process_group import ProcessGroup
from slipstream_protocol.frames import Geometry
from slipstream_protocol.parameters import MAX_STEPS
from torch import Tensor

from tests.golden.case import Case, Replay
from tests.golden.sequential import SEVERAL_FRAMES
from tests.golden.streaming import CPU, StreamBatch, load_dit, noises

RING = "the reference's ring of ranks drops chunks; ours hands every result back first"


def replay(case: Case) -> Replay:
    if case.config.get("num_frame_per_block", 1) > 1:
        return Replay(left_out={"*": SEVERAL_FRAMES})
    unsplit, _ = _run(case, [])
    split, stream = _run(case, case.config["block_ranges"])
    cuts = {
        name: torch.stack([tokens.flatten(1, 2) for tokens in cut])
        for name, cut in stream.cuts.items()
    }
    return Replay(
        tensors={
            "out.prepare": split[0],
            "out.unsplit.hidden_states": torch.stack(unsplit[1:]),
            "out.split.hidden_states": torch.stack(split[1:]),
            "act.input_hidden_states": torch.stack(stream.fed_each_call),
            **cuts,
            **stream.cache_tensors(),
        },
        left_out={"out.ring.*": RING},
        claims={
            "split and unsplit differ": all(map(torch.equal, split, unsplit)),
        },
    )


class SplitBatch(StreamBatch):
    """A stream batch over ranks, a thread for each range, which pass tokens on as a group's do.

    It records what one passes to the next.
    """

    ranges: list[range]

    def start_notes(self) -> None:
        self.cuts: dict[str, list[Tensor]] = {
            f"act.cut{i}": [] for i in range(len(self.ranges) - 1)
        }
        self.fed_each_call: list[Tensor] = []

    @contextmanager
    def joined(self) -> Iterator[None]:
        """Inside, all ranks are connected."""
        ranks = len(self.ranges)
        layouts = MessageLayouts(
            latents=(self.model.params.latent_channels, *self.size),
            tokens=(self.frame_tokens, self.model.params.dim),
            dtype=self.model.dtype,
            geometry=Geometry(width_px=8, height_px=8, first_chunk_frames=5, chunk_frames=4),
        )
        with TemporaryDirectory() as folder, ThreadPoolExecutor(ranks) as self.threads:

            def join(rank: int) -> Mail:
                group = ProcessGroup(
                    Path(folder) / "store", rank=rank, ranks=ranks, device=CPU, pairs=()
                )
                return Mail(
                    group.link,
                    layouts,
                    largest_bytes=layouts.largest_bytes(2),
                    device=CPU,
                    watch=ArrivalWatch(),
                )

            self.mails = list(self.threads.map(join, range(ranks)))
            yield
            for mail in self.mails:
                mail.close()

    def denoise(
        self,
        x_BFchw: Tensor,
        timesteps_B: Tensor,
        positions: BatchPositions,
        cache: RollingCache,
    ) -> Tensor:
        def run(rank: int) -> Tensor:
            return self._run_part(rank, x_BFchw, timesteps_B, positions, cache)

        return list(self.threads.map(run, range(len(self.ranges))))[-1]

    @torch.inference_mode()
    def _run_part(
        self,
        rank: int,
        x_BFchw: Tensor,
        timesteps_B: Tensor,
        positions: BatchPositions,
        cache: RollingCache,
    ) -> Tensor:
        mail, samples = self.mails[rank], len(x_BFchw)
        layout = mail.layouts.of_activations(x_BFchw.shape[0] * x_BFchw.shape[1])
        is_last = rank == len(self.ranges) - 1
        tokens_BFSC, arrival = None, None
        if rank:
            arrival = mail.expect(rank - 1, MessageFlow.STEPS, layout)
            fields = arrival.fields()
            x_BFchw, tokens_BFSC = (
                rearrange(fields[name], "(b f) ... -> b f ...", b=samples)
                for name in ("x", "tokens")
            )
        out = denoise(
            self.model,
            self.schedule,
            x_BFchw,
            timesteps_B,
            positions,
            cache,
            self.conditioning,
            part=Part(self.ranges[rank], embeds=rank == 0, heads=is_last),
            tokens_BFSC=tokens_BFSC,
        )
        if not is_last:
            self.cuts[f"act.cut{rank}"].append(out)
            timesteps = torch.zeros(MAX_STEPS, dtype=torch.int64)
            sent = {"x": x_BFchw.flatten(0, 1), "tokens": out.flatten(0, 1)}
            mail.send(rank + 1, MessageFlow.STEPS, layout, {**sent, "timesteps": timesteps})
        if arrival is not None:
            arrival.release()
        return out


def _run(case: Case, ranges: list[tuple[int, int]]) -> tuple[list[Tensor], SplitBatch]:
    """The clean latents of chunk 0, and of every row after each call."""
    stream = SplitBatch(load_dit(case), case.config, case.tensor("in.prompt_embeds"))
    stream.ranges = [range(*ends) for ends in ranges] or [range(stream.model.params.layers)]
    with stream.joined():
        return _stream(case, stream), stream


def _stream(case: Case, stream: SplitBatch) -> list[Tensor]:
    stream.start_notes()
    between = len(stream.steps) - 1
    drawn = noises(case, "noise.prepare", between)
    results = [stream.prepare(case.tensor("in.noisy_latents.prepare"), drawn)]
    stream.start_notes()
    current_steps = case.tensor("in.current_step").tolist()
    for number, chunk in enumerate(case.tensor("in.noisy_latents.chunks")):
        drawn = noises(case, f"noise.chunk{number:02}", between)
        results.append(stream.call(chunk, current_steps[number], drawn))
        stream.fed_each_call.append(stream.fed)
    return results

"""Family e: a stream batch whose blocks are split into ranges, as over several devices."""

import torch
from einops import repeat
from slipstream_engine.diffusion.flow_matching import follow
from slipstream_engine.kv_cache.positions import BatchPositions
from slipstream_engine.kv_cache.rolling_cache import RollingCache
from torch import Tensor

from tests.golden.case import Case, Replay
from tests.golden.sequential import SEVERAL_FRAMES
from tests.golden.streaming import StreamBatch, load_dit, noises

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
    """A stream batch that runs range after range and records what one passes to the next."""

    ranges: list[range]

    def start_notes(self) -> None:
        self.cuts: dict[str, list[Tensor]] = {
            f"act.cut{i}": [] for i in range(len(self.ranges) - 1)
        }
        self.fed_each_call: list[Tensor] = []

    def denoise(
        self,
        x_BFchw: Tensor,
        timesteps_B: Tensor,
        positions: BatchPositions,
        cache: RollingCache,
    ) -> Tensor:
        model = self.model
        timesteps_BF = repeat(timesteps_B, "b -> b f", f=x_BFchw.shape[1])
        time = model.embed_time(timesteps_BF, self.conditioning)
        height, width = x_BFchw.shape[-2:]
        context = model.kv_cache_context(cache, positions, height=height, width=width)
        tokens = model.embed(x_BFchw)
        for cut, layers in enumerate(self.ranges):
            tokens = model.run(tokens, time, self.conditioning, context, layers)
            if f"act.cut{cut}" in self.cuts:
                self.cuts[f"act.cut{cut}"].append(tokens)
        flow = model.unembed(tokens, time, rows=height // model.params.patch[1])
        sigma = self.schedule.sigma(timesteps_B)[:, None, None, None, None]
        return follow(x_BFchw, flow, sigma)


def _run(case: Case, ranges: list[tuple[int, int]]) -> tuple[list[Tensor], SplitBatch]:
    """The clean latents of chunk 0, and of every row after each call."""
    stream = SplitBatch(load_dit(case), case.config, case.tensor("in.prompt_embeds"))
    stream.ranges = [range(*ends) for ends in ranges] or [range(stream.model.params.layers)]
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
    return results, stream

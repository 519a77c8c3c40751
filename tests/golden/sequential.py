"""Family c: a chunk's steps one after the other in one cache; ours for one step only."""

import torch

from tests.golden.case import Case, Replay
from tests.golden.streaming import StreamBatch, load_dit, noises

PHASE_BUG = (
    "the reference's sequential mode with several steps shares one cache and loses its ring's phase"
)
SEVERAL_FRAMES = "the reference's ring overwrites itself with several latent frames a chunk"


def replay(case: Case) -> Replay:
    stream = StreamBatch(load_dit(case), case.config, case.tensor("in.prompt_embeds"))
    between = len(stream.steps) - 1
    prepared = stream.prepare(
        case.tensor("in.noisy_latents.prepare"), noises(case, "noise.prepare", between)
    )
    if case.config.get("num_frame_per_block", 1) > 1:
        return Replay(tensors={"out.prepare": prepared}, left_out={"*": SEVERAL_FRAMES})
    if between:
        return Replay(tensors={"out.prepare": prepared}, left_out={"*": PHASE_BUG})
    chunks = case.tensor("in.noisy_latents.chunks")
    current_steps = case.tensor("in.current_step").tolist()
    out = [stream.call(chunk, step, []) for chunk, step in zip(chunks, current_steps, strict=True)]
    return Replay(
        tensors={"out.prepare": prepared, "out.chunks": torch.stack(out), **stream.cache_tensors()}
    )

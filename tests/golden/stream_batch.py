"""Family d: the stream batch, one call a chunk, a cache row for each step."""

import torch

from tests.golden.case import Case, Replay
from tests.golden.sequential import SEVERAL_FRAMES
from tests.golden.streaming import StreamBatch, load_dit, noises


def replay(case: Case) -> Replay:
    stream = StreamBatch(load_dit(case), case.config, case.tensor("in.prompt_embeds"))
    between = len(stream.steps) - 1
    prepared = stream.prepare(
        case.tensor("in.noisy_latents.prepare"), noises(case, "noise.prepare", between)
    )
    if case.config.get("num_frame_per_block", 1) > 1:
        return Replay(tensors={"out.prepare": prepared}, left_out={"*": SEVERAL_FRAMES})
    chunks = case.tensor("in.noisy_latents.chunks")
    current_steps = case.tensor("in.current_step").tolist()
    hidden = [
        stream.call(chunk, current_step, noises(case, f"noise.chunk{number:02}", between))
        for number, (chunk, current_step) in enumerate(zip(chunks, current_steps, strict=True))
    ]
    return Replay(
        tensors={
            "out.prepare": prepared,
            "out.hidden_states": torch.stack(hidden),
            **stream.cache_tensors(),
        }
    )

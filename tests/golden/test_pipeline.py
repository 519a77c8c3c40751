"""The pipeline itself, fed with the vectors' noise, gives the reference's chunks."""

from concurrent.futures import Future
from pathlib import Path

import pytest
import torch
from einops import rearrange
from slipstream_engine.conditioning.prompts import PromptEmbeddings, PromptTrack
from slipstream_engine.config import Preset, ScheduleParams
from slipstream_engine.diffusion.chunk import ChunkMaker, LatentChunk
from slipstream_engine.diffusion.flow_matching import FlowSchedule
from slipstream_engine.diffusion.state import StreamState
from slipstream_engine.diffusion.step_cache import StepCache
from slipstream_engine.diffusion.stream_host import ChunkOrder, StreamHost
from slipstream_engine.kv_cache.rolling_cache import RollingCache
from slipstream_engine.models.vae.wan_vae import WanVaeState
from slipstream_protocol.frames import FrameSize
from slipstream_protocol.parameters import MAX_STEPS, Prompt
from torch import Tensor

from tests.golden.case import Case
from tests.golden.end_to_end import CHUNK, FIRST_FRAMES
from tests.golden.families import cases
from tests.golden.streaming import STRIDE, cache_params, dit_params, load_dit
from tests.golden.wan_vae import load_vae

CPU = torch.device("cpu")
VECTORS = Path(__file__).parent / "vectors"
TOLERANCE = 1e-4


class RecordedNoise(ChunkMaker[WanVaeState]):
    """Noise from the case: the reference runs step s of chunk c in its call c + s."""

    case: Case

    def _keys(self, device: torch.device, order: ChunkOrder) -> Tensor:
        steps = len(order.settings.step_list)
        return torch.tensor([order.number * MAX_STEPS + step for step in range(steps)])

    def _noise(self, like_FCHW: Tensor, key_B: Tensor) -> Tensor:
        chunk, step = divmod(int(key_B), MAX_STEPS)
        push = chunk - 1 if step == 0 else chunk + step - 2
        name = f"noise.session.{step}" if chunk == 0 else f"noise.push{push:02}.{step}"
        return self.case.tensor(name).reshape(like_FCHW.shape)


def session(case: Case) -> tuple[RecordedNoise, StreamHost, StreamState[WanVaeState]]:
    """The production pipeline with the case's weights, and both halves of a new stream."""
    config = case.config
    steps = tuple(step for step in config["denoising_step_list"] if step)
    preset = Preset(
        name=case.name,
        dit=dit_params(config["dit"]),
        cache=cache_params(config),
        schedule=ScheduleParams(
            step_list=steps, steps=len(steps), noise_scale=config["noise_scale"]
        ),
        codec="wan",
        text="none",
        width_px=config["width"],
        height_px=config["height"],
        prompt="",
        note="",
    )
    model, codec = load_dit(case, "dit."), load_vae(case, "vae.")
    maker = RecordedNoise(
        preset=preset, model=model, schedule=FlowSchedule(preset.schedule, CPU), codec=codec
    )
    object.__setattr__(maker, "case", case)
    rows, columns = model.grid(config["height"] // STRIDE, config["width"] // STRIDE)
    size = FrameSize(config["width"], config["height"])
    prompt_TE = case.tensor("in.prompt_embeds")[0]
    state = StreamState(
        step_cache=StepCache(
            RollingCache(
                model.params,
                preset.cache,
                rows=len(steps),
                frame_tokens=rows * columns,
                device=CPU,
                dtype=torch.float32,
            )
        ),
        codec=codec.fresh_state(),
        conditioning=model.condition(prompt_TE[None]),
        noise_scale=torch.tensor(config["noise_scale"], dtype=torch.float64),
    )
    embeddings = PromptEmbeddings(lambda text: Future(), device=CPU)
    track = PromptTrack.constant((Prompt(""),), prompt_TE)
    return maker, StreamHost(preset, embeddings, track, size), state


@pytest.mark.parametrize(
    "case",
    [c for c in cases(VECTORS) if c.family == "l" and c.config["frames_per_push"] == CHUNK],
    ids=lambda c: c.name,
)
def test_steps_at_once_are_the_reference(case: Case) -> None:
    """All steps of a chunk at once give the chunks of the stream batch, only sooner."""
    maker, host, state = session(case)
    late = state.step_cache.cache.row_count - 1  # calls the reference's stream batch is behind
    frames_TCHW = case.tensor("in.frames").transpose(0, 1).float() / 127.5 - 1
    hidden, video = case.tensor("out.hidden_states"), case.tensor("out.emitted_video")
    with torch.inference_mode():
        first = clean(
            maker, maker.encode(host.order(FIRST_FRAMES), frames_TCHW[:FIRST_FRAMES], state)
        )
        assert_close(_pixels(maker.decode(first)), case.tensor("out.first_video"))
        for number in range(len(hidden) - late):
            start = FIRST_FRAMES + CHUNK * number
            chunk = maker.encode(host.order(CHUNK), frames_TCHW[start : start + CHUNK], state)
            assert chunk.timesteps_I[0] == case.tensor("out.current_steps")[number]
            assert_close(clean(maker, chunk).x_FCHW, hidden[number + late, -1])
            pixels = _pixels(maker.decode(chunk))
            assert_close(pixels, video[CHUNK * number : CHUNK * (number + 1)])


def clean(maker: RecordedNoise, chunk: LatentChunk[WanVaeState]) -> LatentChunk[WanVaeState]:
    """The chunk after all its steps."""
    while not chunk.is_clean:
        maker.step(chunk)
    return chunk


def _pixels(rgb_TCHW: Tensor) -> Tensor:
    return rearrange(rgb_TCHW.clamp(-1, 1) * 0.5 + 0.5, "t c h w -> t h w c")


def assert_close(ours: Tensor, theirs: Tensor) -> None:
    torch.testing.assert_close(ours, theirs, atol=TOLERANCE, rtol=0)

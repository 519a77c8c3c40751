"""Small parts for tests of the engine: a model of a few thousand weights, and fakes."""

import hashlib
from dataclasses import dataclass, field

import numpy as np
import torch
from einops import rearrange, repeat
from slipstream_engine.conditioning.worker import TextWorker
from slipstream_engine.config import (
    FIRST_CHUNK_LATENTS,
    CacheParams,
    DitParams,
    EngineConfig,
    NoiseMode,
    Preset,
    ScheduleParams,
)
from slipstream_engine.diffusion.pipeline import DiffusionPipeline, ModelBundle
from slipstream_engine.models.dit.transformer import CausalDit
from slipstream_protocol.frames import I420
from slipstream_protocol.messages import Vocabulary
from slipstream_protocol.parameters import Prompts
from torch import Tensor

STRIDE = 8
CPU = torch.device("cpu")

DIT = DitParams(
    dim=32,
    heads=2,
    layers=2,
    ffn_dim=48,
    latent_channels=4,
    text_dim=8,
    text_len=6,
    freq_dim=32,
)
CACHE = CacheParams(slots=6, sinks=3)
SCHEDULE = ScheduleParams(step_list=(700, 500, 400, 200), steps=2)


def toy_preset(
    *,
    dit: DitParams = DIT,
    cache: CacheParams = CACHE,
    schedule: ScheduleParams = SCHEDULE,
    noise: NoiseMode = NoiseMode.FRESH,
) -> Preset:
    return Preset(
        name="toy",
        dit=dit,
        cache=cache,
        schedule=schedule,
        noise=noise,
        codec="toy",
        text="toy",
        width_px=32,
        height_px=32,
        prompt="a cat",
        note="a toy",
    )


def toy_model(params: DitParams = DIT, *, seed: int = 0) -> CausalDit:
    """A model whose every weight is random, the head's too."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = CausalDit(params)
        for parameter in model.parameters():
            torch.nn.init.normal_(parameter, std=0.3 / parameter.shape[-1] ** 0.5)
    return model.requires_grad_(False)


@dataclass
class ToyCodecState:
    """The mean of all frames so far, each way, so that a mixed-up state shows."""

    encoded: Tensor = field(default_factory=lambda: torch.zeros(()))
    decoded: Tensor = field(default_factory=lambda: torch.zeros(()))
    has_decoded: bool = False


class ToyCodec:
    """Means of 8x8 pixels as latents, with a memory of its own."""

    stride = STRIDE
    latent_channels = DIT.latent_channels

    def fresh_state(self) -> ToyCodecState:
        return ToyCodecState()

    def reset(self, state: ToyCodecState) -> None:
        state.encoded.zero_()
        state.decoded.zero_()
        state.has_decoded = False

    def encode(self, rgb_TCHW: Tensor, state: ToyCodecState) -> Tensor:
        frames_TCHW = rgb_TCHW if len(rgb_TCHW) == 4 else torch.cat([rgb_TCHW[:1]] * 3 + [rgb_TCHW])
        small = rearrange(frames_TCHW, "t c (y p) (x q) -> t c y x (p q)", p=STRIDE, q=STRIDE)
        latents = rearrange(small.mean(-1), "(f t) c y x -> f t c y x", t=4).mean(1)
        state.encoded = 0.5 * state.encoded + 0.5 * latents.mean()
        return torch.cat([latents, latents[:, :1]], dim=1) + state.encoded

    def decode(self, latents_FCHW: Tensor, state: ToyCodecState) -> Tensor:
        state.decoded = 0.5 * state.decoded + 0.5 * latents_FCHW.mean()
        rgb_FCHW = latents_FCHW[:, :3] + state.decoded
        rgb_TCHW = repeat(rgb_FCHW, "f c y x -> (f t) c (y p) (x q)", t=4, p=STRIDE, q=STRIDE)
        is_first, state.has_decoded = not state.has_decoded, True
        assert len(latents_FCHW) == (FIRST_CHUNK_LATENTS if is_first else 1)
        return rgb_TCHW[3:] if is_first else rgb_TCHW


class ToyText:
    """Every text has its own noise; lists those it has encoded."""

    text_len = DIT.text_len
    text_dim = DIT.text_dim
    vocabulary = Vocabulary(styles=("a cat", "a dog"))

    def __init__(self) -> None:
        self.encoded_texts: list[str] = []

    def understood(self, prompts: Prompts) -> str:
        return ""

    def encode(self, text: str) -> Tensor:
        self.encoded_texts.append(text)
        seed = int.from_bytes(hashlib.sha256(text.encode()).digest()[:6])
        generator = torch.Generator().manual_seed(seed)
        rows_TE = torch.randn(self.text_len, self.text_dim, generator=generator)
        rows_TE[3:] = 0
        return rows_TE


def toy_pipeline(
    preset: Preset | None = None,
    *,
    max_streams: int = 4,
    text: ToyText | None = None,
    text_worker: TextWorker | None = None,
) -> DiffusionPipeline[ToyCodecState]:
    preset = preset or toy_preset()
    config = EngineConfig(preset=preset, max_streams=max_streams)
    bundle = ModelBundle(
        model=toy_model(preset.dit),
        codec=ToyCodec(),
        text=text or ToyText(),
        text_worker=text_worker,
    )
    return DiffusionPipeline(config, bundle)


def moving_chunk(number: int, *, seed: int = 0, height: int = 32, width: int = 32) -> I420:
    """Chunk `number` of an endless clip of noise."""
    frames = 5 if number == 0 else 4
    rng = np.random.default_rng([seed, number])
    return rng.integers(0, 256, (frames, height * 3 // 2, width), dtype=np.uint8)

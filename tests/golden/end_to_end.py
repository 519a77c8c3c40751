"""Family l: from pixels to pixels: encode, noise by motion, stream batch, decode."""

from typing import Any

import torch
from einops import rearrange
from slipstream_engine.codec.hybrid import HybridCodec
from slipstream_engine.codec.protocol import Codec
from slipstream_engine.diffusion.flow_matching import mix_noise
from torch import Tensor

from tests.golden.case import Case, Replay
from tests.golden.motion import Controller
from tests.golden.sequential import PHASE_BUG, SEVERAL_FRAMES
from tests.golden.streaming import StreamBatch, load_dit
from tests.golden.taehv import EXACT, load_taehv
from tests.golden.wan_vae import load_vae

BF16 = "the reference's own rounding to bfloat16"
TRUNCATED = "the reference's TAEHV wrapper forgets all but three latents; ours carries its state"
FIRST_FRAMES = 5
CHUNK = 4


def replay(case: Case) -> Replay:
    if case.config.get("num_frame_per_block", 1) > 1:
        return Replay(left_out={"*": SEVERAL_FRAMES})
    is_bf16 = case.config.get("run_dtype") == "bfloat16"
    session = Session(case, torch.bfloat16 if is_bf16 else torch.float32)
    tensors = session.run()
    if is_bf16:
        videos = ("out.first_video", "out.emitted_video")
        notes = [
            f"{name}: PSNR {_psnr_db(tensors[name], case.tensor(name)):.1f} dB, "
            f"theirs to float64 {case.outputs[name].get('psnr_vs_f64_db')} dB"
            for name in videos
            if tensors[name].shape == case.tensor(name).shape  # not the wrapper's TAEHV
        ]
        return Replay(left_out={"*": BF16}, notes=tuple(notes))
    left_out: dict[str, str] = {}
    claims: dict[str, bool] = {}
    if case.config.get("use_taehv"):
        left_out = {"out.first_video": TRUNCATED, "out.emitted_video": TRUNCATED}
        claims = {"decoding in pieces is not decoding at once": session.is_decoded_exactly()}
    if case.config.get("no_batch") and len(session.stream.steps) > 1:
        left_out |= {"out.hidden_states": PHASE_BUG, "out.emitted_video": PHASE_BUG}
    kept = {name: tensor for name, tensor in tensors.items() if name not in left_out}
    return Replay(tensors=kept, left_out=left_out, claims=claims)


class Session:
    """One viewer's stream, fed with the case's pieces and noise."""

    def __init__(self, case: Case, dtype: torch.dtype) -> None:
        self.case = case
        self.dtype = dtype
        model = load_dit(case, "dit.", dtype)
        self.stream = StreamBatch(model, case.config, case.tensor("in.prompt_embeds").to(dtype))
        self.between = len(self.stream.steps) - 1
        self.codec = load_codec(case, dtype)
        self.codec_state = self.codec.fresh_state()
        self.controller = Controller(case.config["noise_scale"])
        self.latents: list[Tensor] = []
        self.noisy: list[Tensor] = []
        self.clean: list[Tensor] = []
        self.decoded: list[Tensor] = []

    def is_decoded_exactly(self) -> bool:
        """Whether decoding all latents at once gives the same frames."""
        state = self.codec.fresh_state()
        whole = self.codec.decode(torch.cat(self.clean), state)
        apart = (torch.cat(self.decoded) - whole).abs().max() / 2  # of pixels in [-1, 1]
        return bool(apart < EXACT)

    def run(self) -> dict[str, Tensor]:
        frames_TCHW = self.case.tensor("in.frames").transpose(0, 1).float() / 127.5 - 1
        scales, steps = [self.controller.scale], []
        x = self._encode(frames_TCHW[:FIRST_FRAMES], self._noise("noise.session.0"))
        drawn = [noise.to(self.dtype) for noise in self._draws("noise.session", 1, self.between)]
        first = self._decode(self.stream.prepare(x, drawn)[0])
        hidden: list[Tensor] = []
        emitted: list[Tensor] = []
        push = self.case.config["frames_per_push"]
        for number in range(self.case.config["pushes"]):
            start = FIRST_FRAMES + number * push
            before, fresh = frames_TCHW[start - 1], frames_TCHW[start : start + push]
            scale, step = self.controller.push(fresh, before)
            scales.append(scale)
            steps.append(step)
            name = f"noise.push{number:02}"
            x = self._encode(fresh, self._noise(f"{name}.0"))
            for latent in range(x.shape[1]):
                drawn = self._draws(name, 1 + latent * self.between, self.between)
                hidden.append(self.stream.call(x[:, latent : latent + 1], int(step), drawn))
                if len(hidden) > self.between:
                    emitted.append(self._decode(hidden[-1][-1]))
        return {
            "out.first_video": first,
            "out.emitted_video": torch.cat(emitted),
            "out.latents_raw": torch.cat(self.latents)[None],
            "out.noisy_latents": torch.cat(self.noisy, dim=1),
            "out.hidden_states": torch.stack(hidden),
            "out.noise_scales": torch.stack(scales),
            "out.current_steps": torch.stack(steps),
        }

    def _noise(self, name: str) -> Tensor:
        return self.case.tensor(name).to(self.dtype)

    def _draws(self, prefix: str, first: int, count: int) -> list[Tensor]:
        return [self._noise(f"{prefix}.{first + k}") for k in range(count)]

    def _encode(self, frames_TCHW: Tensor, noise_BFchw: Tensor) -> Tensor:
        """Noisy latents `[1, F, c, h, w]` of one piece, encoded chunk by chunk."""
        pieces = [frames_TCHW] if len(frames_TCHW) == FIRST_FRAMES else frames_TCHW.split(CHUNK)
        latents = torch.cat([self.codec.encode(p.to(self.dtype), self.codec_state) for p in pieces])
        noisy = mix_noise(latents[None], noise_BFchw, self.controller.scale)
        self.latents.append(latents)
        self.noisy.append(noisy)
        return noisy

    def _decode(self, latents_FCHW: Tensor) -> Tensor:
        """Pixels `[T, H, W, 3]` in [0, 1]."""
        rgb_TCHW = self.codec.decode(latents_FCHW, self.codec_state)
        self.clean.append(latents_FCHW)
        self.decoded.append(rgb_TCHW)
        return rearrange((rgb_TCHW.clamp(-1, 1) * 0.5 + 0.5).clamp(0, 1), "t c h w -> t h w c")


def load_codec(case: Case, dtype: torch.dtype) -> Codec[Any]:
    """The codec of a session; in fast mode Wan's encoder beside TAEHV's decoder."""
    vae = load_vae(case, "vae.").to(dtype)
    if not case.config.get("use_taehv"):
        return vae
    return HybridCodec(vae, load_taehv(case, "taehv.").to(dtype))


def _psnr_db(ours: Tensor, theirs: Tensor) -> float:
    """Peak signal to noise ratio of pictures in [0, 1]."""
    return float(-10 * (ours.double() - theirs.double()).square().mean().log10())

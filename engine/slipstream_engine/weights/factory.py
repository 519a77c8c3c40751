"""From a `ModelRequest` to a loaded diffusion pipeline, whichever kind of preset it names."""

import os
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch

from slipstream_engine.codec.hybrid import CodecSides
from slipstream_engine.config import CHUNK_LATENTS, Compilation, EngineConfig, Preset
from slipstream_engine.device.attention_order import AttentionShape, device_timer, measure_order
from slipstream_engine.device.convolutions import check_conv3d, choose_convolutions_by_timing
from slipstream_engine.diffusion.pipeline import DiffusionPipeline, latent_size
from slipstream_engine.models.vae.taehv_config import TINY, TaehvParams
from slipstream_engine.presets import PRESETS
from slipstream_engine.weights.bundle import load_bundle
from slipstream_engine.weights.registry import DEFAULT_WEIGHTS
from slipstream_engine.weights.request import ModelRequest


def available_cores() -> int:
    """CPU cores this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def preset_named(name: str) -> Preset:
    """The preset of that name.

    Raises:
        ValueError: if there is none of that name.
    """
    if name not in PRESETS:
        raise ValueError(f"preset is {name!r}, it must be one of {', '.join(PRESETS)}")
    return PRESETS[name]


def configure(request: ModelRequest) -> EngineConfig:
    """Resolve a request into a configuration; reads no weights.

    Raises:
        ValueError: if the preset is unknown or cannot have this codec or size, or torch cannot use
            the device.
    """
    preset = preset_named(request.preset)
    if request.codec is not None:
        if preset.embedded:
            raise ValueError(
                f"codec is {request.codec!r}, preset {preset.name} has only its own; name no codec"
            )
        CodecSides.named(request.codec)
        preset = replace(preset, codec=request.codec)
    if request.size_px is not None:
        preset = preset.at_one_size(*request.size_px)
    stride = (TINY if preset.embedded else TaehvParams()).stride
    for size in preset.scales:
        latent_size(preset, stride, size)
    device = _device(request.device or ("cuda" if torch.cuda.is_available() else "cpu"))
    if device.startswith("cuda") and "wan" in preset.codec.split("+"):
        check_conv3d()
    by_device = Compilation.GRAPH if device.startswith("cuda") else Compilation.NONE
    return EngineConfig(
        preset=preset,
        device=device,
        dtype="float32" if preset.embedded else "bfloat16",
        max_streams=request.max_streams,
        compilation=request.compilation or by_device,
        checkpoint=request.checkpoint and request.checkpoint.expanduser(),
        max_steps=request.max_steps,
    )


def _device(name: str) -> str:
    """Check that torch can use the device `name`, and return it.

    Raises:
        ValueError: if it cannot.
    """
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ValueError(
            f"device is {name!r}, it must be one of torch's, like cpu or cuda:0"
        ) from error
    if device.type == "cuda" and not torch.cuda.is_available():
        reason = _why_no_cuda()
        raise ValueError(
            f"device is {name}, this machine has no GPU that torch can use: {reason}; use cpu"
        )
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        last = torch.cuda.device_count() - 1
        raise ValueError(f"device is {name}, the last GPU here is cuda:{last}; use that or another")
    if device.type == "cuda":
        return f"cuda:{device.index or 0}"
    return name


def device_group(names: Sequence[str]) -> tuple[str, ...]:
    """The devices of a group, in order; `auto` stands for all GPUs, or the CPU where there is none.

    Raises:
        ValueError: if one is not there, or is named twice, or they are of several kinds.
    """
    if tuple(names) == ("auto",):
        gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
        return tuple(f"cuda:{index}" for index in range(gpus)) or ("cpu",)
    devices = tuple(_device(name) for name in names)
    kinds = {torch.device(device).type for device in devices}
    if len(kinds) > 1:
        raise ValueError(
            f"devices are {', '.join(devices)}, a group is of one kind; name GPUs only, or cpu only"
        )
    twice = [device for device in devices if devices.count(device) > 1 and device != "cpu"]
    if twice:
        raise ValueError(f"devices name {twice[0]} twice, each runs one rank; name it once")
    return devices


def _why_no_cuda() -> str:
    """What keeps torch from CUDA: the build, the driver or the machine."""
    if torch.version.cuda is None:
        return "this torch is built without CUDA, install one with it"
    try:
        torch.cuda.init()
    except (RuntimeError, AssertionError) as error:  # e.g. a driver older than this torch needs
        return str(error).strip().partition("\n")[0]
    return f"CUDA {torch.version.cuda} finds none"


def load_diffusion(request: ModelRequest) -> DiffusionPipeline[Any]:
    """Load a pipeline without warming it up.

    Raises:
        ValueError: if the request is not possible.
        OSError: if weights are missing or cannot be read.
    """
    torch.set_num_threads(request.threads or max(1, available_cores() // 2))
    config = configure(request)
    weights = (request.weights or DEFAULT_WEIGHTS).expanduser()
    if not config.device.startswith("cuda"):
        return DiffusionPipeline(config, load_bundle(config, weights))
    use_gpu(config.device)
    bundle = load_bundle(config, weights)
    device = torch.device(config.device)
    order = measure_order(
        attention_shapes(config.preset, bundle.codec.stride),
        device=device,
        dtype=bundle.model.dtype,
        timer=device_timer(device),
    )
    return DiffusionPipeline(config, bundle, attention=order)


def use_gpu(device: str) -> None:
    """Before anything is loaded: what names no device means this one."""
    torch.cuda.set_device(device)
    choose_convolutions_by_timing()


def attention_shapes(preset: Preset, stride: int) -> tuple[AttentionShape, ...]:
    """The attentions of a denoising step with a full cache: over the past, and over the prompt.

    Args:
        stride: of the codec.
    """
    dit = preset.dit
    _, rows, columns = dit.patch
    height, width = latent_size(preset, stride, preset.scales[0])
    tokens = (height // rows) * (width // columns)
    return tuple(
        AttentionShape(
            batch=1,
            heads=dit.heads,
            queries=CHUNK_LATENTS * tokens,
            keys=keys,
            head_dim=dit.head_dim,
            calls=dit.layers,
        )
        for keys in (preset.cache.slots * tokens, dit.text_len)
    )

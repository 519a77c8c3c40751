"""Times on a device: whole chunks, the kernels of a step, and the attention backends."""

from dataclasses import replace

import torch
import torch.nn.functional as F
from slipstream_engine.bench.report import Figures, describe_machine
from slipstream_engine.bench.runner import Case, Mode, measure_case
from slipstream_engine.bench.workload import BenchDuration, Scene
from slipstream_engine.config import Compilation, EngineConfig
from slipstream_engine.diffusion.pipeline import DiffusionPipeline
from slipstream_engine.presets import PRESETS
from slipstream_engine.weights.random import random_bundle
from slipstream_protocol.parameters import Parameters
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.profiler import ProfilerActivity, profile

from tests.engine import small_real

BACKENDS = {
    "cudnn": SDPBackend.CUDNN_ATTENTION,
    "flash": SDPBackend.FLASH_ATTENTION,
    "efficient": SDPBackend.EFFICIENT_ATTENTION,
    "math": SDPBackend.MATH,
}
TRIES = 20


def config_of(device: str, preset: str, codec: str, *, steps: int, is_small: bool) -> EngineConfig:
    """A preset at its own size, or one of the same kind that a CPU runs in a moment."""
    wanted = small_real.preset(preset, codec) if is_small else PRESETS[preset]
    is_cuda = device.startswith("cuda")
    return EngineConfig(
        preset=replace(wanted, codec=codec),
        device=device,
        dtype="bfloat16" if is_cuda else "float32",
        compilation=Compilation.GRAPH if is_cuda else Compilation.NONE,
        max_steps=max(steps, wanted.schedule.steps),
    )


def chunk_figures(config: EngineConfig, *, steps: int, is_small: bool) -> Figures:
    """A stream of one preset with random weights."""
    sizes = small_real.SIZES if is_small else None
    duration = BenchDuration(
        warm_up_chunks=1 if is_small else 10,
        chunks=2 if is_small else 40,
        seconds=0.0 if is_small else 5.0,
    )
    case = Case(config=config, steps=steps, mode=Mode.SEQUENTIAL, random_weights=True)
    machine = describe_machine(torch.device(config.device), config.dtype)
    return measure_case(case, random_bundle(config, sizes=sizes), duration, machine, sizes=sizes)


def kernel_times_us(config: EngineConfig, *, is_small: bool) -> dict[str, float]:
    """The kernels of a chunk with a full cache that take the longest, eagerly run."""
    eager = replace(config, compilation=Compilation.NONE)
    pipeline = DiffusionPipeline(
        eager, random_bundle(eager, sizes=small_real.SIZES if is_small else None)
    )
    stream, scene = pipeline.open(Parameters()), Scene(pipeline.geometry)
    is_cuda = eager.device.startswith("cuda")
    activity = ProfilerActivity.CUDA if is_cuda else ProfilerActivity.CPU
    for number in range(eager.preset.cache.slots):
        frames_THW = scene.chunk(number)
        stream.step(frames_THW, frames_THW.copy())
    with profile(activities=[activity]) as recorded:
        frames_THW = scene.chunk(1)
        stream.step(frames_THW, frames_THW.copy())
    events = recorded.key_averages()
    times = {
        event.key: float(event.self_device_time_total if is_cuda else event.self_cpu_time_total)
        for event in events
    }
    longest = sorted(times, key=lambda name: -times[name])[:30]
    return {name: times[name] for name in longest}


def attention_ms(device: str, config: EngineConfig, *, is_small: bool) -> dict[str, str]:
    """Each backend at the preset's self-attention of one micro-step; why not, where it cannot."""
    dit, slots = config.preset.dit, config.preset.cache.slots
    tokens = 16 if is_small else 1560
    dtype = getattr(torch, config.dtype)
    q = torch.randn(1, dit.heads, tokens, dit.head_dim, device=device, dtype=dtype)
    k = torch.randn(1, dit.heads, slots * tokens, dit.head_dim, device=device, dtype=dtype)
    return {name: _timed(device, q, k, backend) for name, backend in BACKENDS.items()}


def _timed(device: str, q: torch.Tensor, k: torch.Tensor, backend: SDPBackend) -> str:
    if not device.startswith("cuda"):
        F.scaled_dot_product_attention(q, k, k)
        return "not timed: no CUDA device"
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    try:
        with sdpa_kernel(backend):
            F.scaled_dot_product_attention(q, k, k)
            start.record()
            for _ in range(TRIES):
                F.scaled_dot_product_attention(q, k, k)
            end.record()
            end.synchronize()
    except RuntimeError as error:
        return f"cannot run: {str(error).splitlines()[0]}"
    return f"{start.elapsed_time(end) / TRIES:.3f} ms"

"""`slipstream-engine account`: what a preset costs a GPU, and what fits in one, without a GPU."""

import argparse
from dataclasses import replace

from slipstream_engine.account.measure import DeviceAccount, account
from slipstream_engine.account.memory_plan import CONTEXT_BYTES
from slipstream_engine.cli.options import count, size_px
from slipstream_engine.config import Compilation
from slipstream_engine.presets import PRESETS
from slipstream_engine.weights.factory import configure
from slipstream_engine.weights.request import ModelRequest

GPUS_GB = (24, 48, 80, 141)
_BYTES = 10**9  # of a GB


def add_account(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to the engine's command line."""
    presets = sorted(name for name, preset in PRESETS.items() if not preset.embedded)
    parser = commands.add_parser(
        "account", help="count what a preset costs a GPU and what fits in one; needs no GPU"
    )
    parser.add_argument("--preset", choices=presets, default="wan-1.3b", help="model")
    parser.add_argument("--size", type=size_px, help="WxH of a frame (default: the preset's)")
    parser.add_argument("--codec", help="wan, taehv, or encoder and decoder: wan+taehv")
    parser.add_argument(
        "--max-steps", type=count, help="of a stream, each with its cache (default: the preset's)"
    )
    parser.add_argument("--streams", type=count, default=1, help="open at once")
    parser.add_argument(
        "--gpu-gb", nargs="+", type=count, default=list(GPUS_GB), help="memory of GPUs, in GB"
    )
    parser.add_argument(
        "--compile", choices=("none", "graph"), default="graph", help="with or without CUDA graphs"
    )
    parser.set_defaults(run=run_account)


def run_account(arguments: argparse.Namespace) -> int:
    """Count, and print two tables."""
    request = ModelRequest(
        preset=arguments.preset,
        size_px=arguments.size,
        codec=arguments.codec,
        device="cpu",
        compilation=Compilation(arguments.compile),
        max_steps=arguments.max_steps,
    )
    config = replace(configure(request), dtype="bfloat16")
    preset = config.preset
    counted = account(config)
    print(
        f"{preset.name}, {preset.width_px}x{preset.height_px}, codec {preset.codec}: "
        "counted on a fake device, nothing is timed\n"
    )
    print(stage_table(counted))
    print()
    print(memory_table(counted, streams=arguments.streams, gpus_gb=arguments.gpu_gb))
    for problem in counted.problems:
        print(f"on a GPU this would be wrong: {problem}")
    return 1 if counted.problems else 0


def stage_table(counted: DeviceAccount) -> str:
    """What a stage costs, a row each."""
    rows = [f"{'stage':10}{'launches':>10}{'GB moved':>10}{'TFLOP':>8}{'peak GB':>9}"]
    rows += [
        f"{name:10}{cost.launches:10}{_gb(cost.moved_bytes):10.2f}{cost.flop / 1e12:8.2f}"
        f"{_gb(cost.peak_bytes):9.2f}"
        for name, cost in counted.stages.items()
    ]
    return "\n".join(rows)


def memory_table(counted: DeviceAccount, *, streams: int, gpus_gb: list[int]) -> str:
    """Where the memory goes with so many streams, and how many streams fit in each GPU."""
    memory = counted.memory
    shared = memory.shared_bytes if streams > 1 else 0
    parts = {
        "weights, without the text encoder (on the host)": memory.weights_bytes,
        "KV cache of a stream": memory.cache_bytes,
        "codec state, prompt and inputs of a stream": memory.stream_bytes,
        "inputs of shared passes": shared,
        "CUDA graphs": memory.graphs_bytes,
        "largest stage without a graph": counted.peak_bytes,
        "CUDA's context and unusable gaps (assumed)": CONTEXT_BYTES,
        f"together, with {streams} {_streams(streams)}": counted.total_bytes(streams),
    }
    rows = [f"{part:50}{_gb(size):7.2f} GB" for part, size in parts.items()]
    for gpu_gb in gpus_gb:
        most = counted.streams_in(gpu_gb * _BYTES)
        fits = f"{most} {_streams(most)}" if most else "does not fit"
        rows.append(f"{f'a GPU of {gpu_gb} GB':50}{fits}")
    return "\n".join(rows)


def _streams(number: int) -> str:
    return "stream" if number == 1 else "streams"


def _gb(size_bytes: int) -> float:
    return size_bytes / _BYTES

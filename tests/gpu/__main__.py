"""`make gpu-report`: checks and times of a GPU, as JSON and as a table, in less than nine minutes.

What fails is written down with its error, and the rest goes on; what there is no time for is said.
"""

import argparse
import json
import platform
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Any

import msgspec
import torch

from tests.gpu.checks import CHECKS
from tests.gpu.measurements import attention_ms, chunk_figures, config_of, kernel_times_us

BUDGET_S = 480.0  # after it nothing is begun any more
CASES = (
    ("wan-1.3b", "taehv", 2),
    ("wan-1.3b", "wan", 2),
    ("wan-1.3b", "wan+taehv", 2),
    ("wan-1.3b", "taehv", 1),
    ("wan-1.3b", "taehv", 4),
    ("wan-14b", "wan+taehv", 1),
    ("wan-14b", "wan", 2),
)
# without a GPU the others are the same code
REHEARSED_CHECKS = ("copies", "fused", "graph wan+taehv")

Task = Callable[[], Any]


def tasks(device: str, *, is_small: bool) -> Iterator[tuple[str, Task]]:
    """What is to be done, the most telling first."""
    for name, check in CHECKS.items():
        if not is_small or name in REHEARSED_CHECKS:
            yield f"check {name}", partial(check, device)
    first = config_of(device, "wan-1.3b", "taehv", steps=2, is_small=is_small)
    yield "attention", partial(attention_ms, device, first, is_small=is_small)
    yield "kernels", partial(kernel_times_us, first, is_small=is_small)
    for preset, codec, steps in CASES[:2] if is_small else CASES:
        config = config_of(device, preset, codec, steps=steps, is_small=is_small)
        yield (
            f"chunks {preset} {codec} {steps} steps",
            partial(chunk_figures, config, steps=steps, is_small=is_small),
        )


def run(device: str, *, is_small: bool, budget_s: float) -> dict[str, Any]:
    """Do everything that there is time for."""
    began_s = time.monotonic()
    report: dict[str, Any] = {"machine": machine(device), "small": is_small, "results": {}}
    for name, task in tasks(device, is_small=is_small):
        task_began_s = time.monotonic()
        if task_began_s - began_s > budget_s:
            report["results"][name] = {"skipped": f"{budget_s:.0f} s were over"}
            continue
        try:
            result = {"result": msgspec.to_builtins(task())}
        except Exception as error:  # whatever a device raises: the report says it, and goes on
            result = {"error": f"{type(error).__name__}: {error}", "trace": traceback.format_exc()}
        result["seconds"] = round(time.monotonic() - task_began_s, 1)
        report["results"][name] = result
        print(line(name, result), file=sys.stderr, flush=True)
        if device.startswith("cuda"):
            torch.cuda.empty_cache()
    return report


def machine(device: str) -> dict[str, str | None]:
    """Versions and names, without which the figures mean nothing."""
    found: dict[str, str | None] = {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
        "device": device,
    }
    for package in ("triton", "numpy", "einops"):
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = None
    if device.startswith("cuda"):
        found["gpu"] = torch.cuda.get_device_name(device)
        found["cudnn"] = str(torch.backends.cudnn.version())
    return found


def line(name: str, result: dict[str, Any]) -> str:
    """One task in a line of the table."""
    if "error" in result:
        return f"| {name} | failed: {result['error'].splitlines()[0]} |"
    if "skipped" in result:
        return f"| {name} | skipped: {result['skipped']} |"
    value = result["result"]
    if name.startswith("chunks"):
        spread = value["chunk_ms"]
        return (
            f"| {name} | {value['fps']:.1f} FPS, {spread['p50']:.1f} ms a chunk (p99 "
            f"{spread['p99']:.1f}), {value['memory_bytes'] / 1e9:.1f} GB |"
        )
    if name == "attention":
        return f"| {name} | {', '.join(f'{key} {each}' for key, each in value.items())} |"
    return f"| {name} | done in {result['seconds']} s |"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cuda:0")
    parser.add_argument("--small", action="store_true", help="small models: a rehearsal")
    parser.add_argument("--budget-s", type=float, default=BUDGET_S)
    parser.add_argument("--out", type=Path, default=Path("tests/benchmarks/gpu.json"))
    arguments = parser.parse_args()
    if arguments.device.startswith("cuda"):
        if not torch.cuda.is_available():
            print(
                "torch finds no CUDA device here; --device cpu --small rehearses", file=sys.stderr
            )
            return 1
        torch.cuda.set_device(arguments.device)
    report = run(arguments.device, is_small=arguments.small, budget_s=arguments.budget_s)
    arguments.out.write_text(json.dumps(report, indent=1) + "\n")
    print("| task | result |\n|---|---|")
    print("\n".join(line(name, result) for name, result in report["results"].items()))
    return int(any("error" in result for result in report["results"].values()))


if __name__ == "__main__":
    sys.exit(main())

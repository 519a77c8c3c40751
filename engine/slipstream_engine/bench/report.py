"""The figures of a benchmark, as JSON and as a table."""

import os
import platform
import time

import msgspec
import torch

from slipstream_engine.models.dit.linear import Linear

MATMUL_ROWS = {"cuda": 8192, "cpu": 2048}
MATMUL_TRIES = 10


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    """The machine of a benchmark.

    Args:
        load: the system's load average before the benchmark, over one minute.
        matmul_flop_per_s: of a large square matrix product in the benchmark's dtype.
    """

    device: str
    dtype: str
    cores: int
    threads: int
    load: float
    torch: str
    cuda: str | None
    matmul_flop_per_s: float


class Spread(msgspec.Struct, frozen=True, kw_only=True):
    """The 50th, 95th and 99th percentiles, in ms."""

    p50: float
    p95: float
    p99: float


class StreamFigures(msgspec.Struct, frozen=True, kw_only=True):
    """One of several streams; fields as in `Figures`."""

    fps: float
    chunk_ms: Spread


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """One configuration.

    Args:
        fps: frames of all streams a second, between the first and the last chunk done.
        chunk_ms: from a chunk's frames on the host to its generated frames there.
        encode_ms, denoise_ms, decode_ms: medians; denoising is all steps of a call, and a shared
            pass counts in full for each of its chunks.
        overhead: the loop's own time as a share of its passes; None without a loop.
        ttff_ms: time to first frame: from opening a stream, in a warm process; median.
        memory_bytes: peak use of GPU memory; on the CPU, peak resident memory of the process.
        flop: of one chunk.
        matmul_share: `flop_per_s` as a share of the machine's rate of matrix products.
    """

    preset: str
    width_px: int
    height_px: int
    codec: str
    steps: int
    mode: str
    streams: int
    random_weights: bool
    note: str
    chunks: int
    seconds: float
    fps: float
    chunk_ms: Spread
    per_stream: list[StreamFigures]
    encode_ms: float
    denoise_ms: float
    decode_ms: float
    overhead: float | None
    ttff_ms: float
    memory_bytes: int
    flop: int
    flop_per_s: float
    matmul_share: float


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """All configurations of one run; a machine for each dtype."""

    machines: list[Machine]
    figures: list[Figures]

    def json(self) -> bytes:
        return msgspec.json.format(msgspec.json.encode(self)) + b"\n"

    def table(self) -> str:
        """One line for each configuration; column `each` is the slowest stream's fps."""
        rows = [_COLUMNS, *(_row(figures) for figures in self.figures)]
        widths = [max(len(row[k]) for row in rows) for k in range(len(_COLUMNS))]
        lines = ["  ".join(x.rjust(w) for x, w in zip(r, widths, strict=True)) for r in rows]
        return "\n".join([*(_head(machine) for machine in self.machines), *lines])


_COLUMNS = (
    *("preset", "size", "codec", "steps", "mode", "streams", "fps", "each", "p50 ms", "p95", "p99"),
    *("encode", "denoise", "decode", "loop", "TTFF", "MB", "TFLOP/s", "of product"),
)


def _head(machine: Machine) -> str:
    return (
        f"{machine.device}, {machine.dtype}, {machine.threads} threads, load {machine.load:.1f}, "
        f"torch {machine.torch}, product {machine.matmul_flop_per_s / 1e12:.2f} TFLOP/s"
    )


def _row(figures: Figures) -> tuple[str, ...]:
    return (
        figures.preset,
        f"{figures.width_px}x{figures.height_px}",
        figures.codec,
        str(figures.steps),
        figures.mode,
        str(figures.streams),
        f"{figures.fps:.1f}",
        f"{min(stream.fps for stream in figures.per_stream):.1f}",
        *(f"{ms:.1f}" for ms in (figures.chunk_ms.p50, figures.chunk_ms.p95, figures.chunk_ms.p99)),
        *(f"{ms:.1f}" for ms in (figures.encode_ms, figures.denoise_ms, figures.decode_ms)),
        "" if figures.overhead is None else f"{100 * figures.overhead:.2f} %",
        f"{figures.ttff_ms:.0f}",
        f"{figures.memory_bytes / 1e6:.0f}",
        f"{figures.flop_per_s / 1e12:.3f}",
        f"{100 * figures.matmul_share:.0f} %",
    )


def describe_machine(device: torch.device, dtype: str) -> Machine:
    """Describe this machine, and measure its rate of matrix products."""
    is_cuda = device.type == "cuda"
    return Machine(
        device=torch.cuda.get_device_name(device) if is_cuda else _processor(),
        dtype=dtype,
        cores=os.cpu_count() or 1,
        threads=torch.get_num_threads(),
        load=os.getloadavg()[0],
        torch=str(torch.__version__),
        cuda=torch.version.cuda if is_cuda else None,
        matmul_flop_per_s=matmul_flop_per_s(device, getattr(torch, dtype)),
    )


@torch.inference_mode()
def matmul_flop_per_s(device: torch.device, dtype: torch.dtype) -> float:
    """The best rate of a square matrix product through the model's linear layer."""
    rows = MATMUL_ROWS.get(device.type, MATMUL_ROWS["cpu"])
    layer = Linear(rows, rows, bias=False, device=device, dtype=dtype)
    x = torch.randn(rows, rows, device=device, dtype=dtype)
    best_s = min(_timed_s(layer, x) for _ in range(MATMUL_TRIES))
    return 2 * rows**3 / best_s


def _timed_s(layer: Linear, x: torch.Tensor) -> float:
    _finish(x.device)
    begin = time.perf_counter()
    layer(x)
    _finish(x.device)
    return time.perf_counter() - begin


def _finish(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _processor() -> str:
    return platform.processor() or platform.machine()

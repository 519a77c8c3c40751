"""The engine's micro-step against the specification's text, on the CPU, turn by turn in one run.

    python -m tests.bench.engine [--rounds 40] [--threads 1] [--out FILE.json]

The transformer is that of the golden stream batches, scaled to width 512, 8 layers and 240 tokens
a frame, with a cache of 6 frames, 3 of them adaptive sinks. Both run the same weights on the same
input and must give the same flow. Each round times one step of each, in turn, so both meet the
same machine; the figure is the median of the rounds' ratios, beside both medians. Time is the
processor's, summed over threads: other processes on the machine hardly change it.
"""

import argparse
import math
import os
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import msgspec
import torch
from slipstream_engine.config import CacheParams, DitParams
from slipstream_engine.kv_cache.positions import position_of, to_device
from slipstream_engine.kv_cache.rolling_cache import RollingCache
from slipstream_engine.models.dit.transformer import CausalDit
from torch import Tensor

from tests.bench.straightforward import Straightforward

DIT = DitParams(
    dim=512, heads=8, layers=8, ffn_dim=512, latent_channels=16, text_dim=24, text_len=16
)
CACHE = CacheParams(slots=6, sinks=3, sink_threshold=0.3)
STEP_LIST = (700, 500)
ROWS, COLUMNS = 24, 40  # latents: 12 x 20 = 240 tokens
WARM_FRAMES = 12
TARGET = 0.8
TOLERANCE = 2e-4


class Figure(msgspec.Struct, frozen=True, kw_only=True):
    """One batch size; processor time.

    Args:
        ratio: median over the rounds of our time over the other's.
        worst_difference: of the flows, over all rounds.
    """

    batch: int
    rounds: int
    ours_ms: float
    straightforward_ms: float
    ratio: float
    worst_difference: float


class Report(msgspec.Struct, frozen=True, kw_only=True):
    threads: int
    load: float
    torch: str
    figures: list[Figure]


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """The same step, both ways."""

    ours_s: float
    straightforward_s: float
    difference: float


class SideBySide:
    """Both ways to take a step, at the same point of the same stream batch.

    Args:
        batch: samples, each a step behind the one before it.
    """

    def __init__(
        self, *, batch: int, dit: DitParams = DIT, rows: int = ROWS, columns: int = COLUMNS
    ) -> None:
        torch.manual_seed(0)
        self._model = random_model(dit)
        self._size = (rows, columns)
        self._batch = batch
        tokens = math.prod(self._model.grid(rows, columns))
        prompt_BTE = torch.randn(1, dit.text_len, dit.text_dim)
        self._conditioning = self._model.condition(prompt_BTE)
        self._cache = RollingCache(
            dit,
            CACHE,
            rows=batch,
            frame_tokens=tokens,
            device=self._model.device,
            dtype=torch.float32,
        )
        self._straightforward = Straightforward(
            self._model, CACHE, self._model.text_embedding(prompt_BTE), batch=batch, tokens=tokens
        )
        self._timesteps_BF = torch.tensor(STEP_LIST[:batch])[:, None]
        self._past_frames = 0

    def ours(self, x_BFchw: Tensor) -> Tensor:
        frames = x_BFchw.shape[1]
        position = position_of(CACHE, past_frames=self._past_frames, frames=frames)
        positions = to_device([position] * self._batch, x_BFchw.device)
        height, width = self._size
        context = self._model.kv_cache_context(self._cache, positions, height=height, width=width)
        timesteps_BF = self._timesteps_BF.expand(-1, frames)
        flow: Tensor = self._model(x_BFchw, timesteps_BF, self._conditioning, context)
        return flow

    def straightforward(self, x_BFchw: Tensor) -> Tensor:
        position = position_of(CACHE, past_frames=self._past_frames, frames=x_BFchw.shape[1])
        timesteps_BF = self._timesteps_BF.expand(-1, x_BFchw.shape[1])
        return self._straightforward(x_BFchw, timesteps_BF, [position.start] * self._batch)

    def round(self, *, ours_first: bool) -> Round:
        """Take the same step both ways, and move on."""
        frames = 2 if self._past_frames == 0 else 1
        x_BFchw = torch.randn(self._batch, frames, self._model.params.latent_channels, *self._size)
        if ours_first:
            ours_s, ours = timed(self.ours, x_BFchw)
            straightforward_s, straightforward = timed(self.straightforward, x_BFchw)
        else:
            straightforward_s, straightforward = timed(self.straightforward, x_BFchw)
            ours_s, ours = timed(self.ours, x_BFchw)
        self._past_frames += frames
        return Round(
            ours_s=ours_s,
            straightforward_s=straightforward_s,
            difference=(ours - straightforward).abs().max().item(),
        )


def timed(step: Callable[[Tensor], Tensor], x_BFchw: Tensor) -> tuple[float, Tensor]:
    begin = time.process_time()
    flow = step(x_BFchw)
    return time.process_time() - begin, flow


def random_model(params: DitParams) -> CausalDit:
    model = CausalDit(params).requires_grad_(False)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.5 / parameter.shape[-1] ** 0.5)
    return model.eval()


@torch.inference_mode()
def measure(batch: int, rounds: int) -> Figure:
    """Warm up until the cache evicts, then time `rounds` steps each way."""
    comparison = SideBySide(batch=batch)
    for number in range(WARM_FRAMES):
        comparison.round(ours_first=number % 2 == 0)
    steps = [comparison.round(ours_first=number % 2 == 0) for number in range(rounds)]
    return Figure(
        batch=batch,
        rounds=rounds,
        ours_ms=1e3 * statistics.median(each.ours_s for each in steps),
        straightforward_ms=1e3 * statistics.median(each.straightforward_s for each in steps),
        ratio=statistics.median(each.ours_s / each.straightforward_s for each in steps),
        worst_difference=max(each.difference for each in steps),
    )


def main() -> int:
    """Measure and print; 1 where the target is missed or the flows differ."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    figures = [measure(batch, arguments.rounds) for batch in (1, 2)]
    report = Report(
        threads=arguments.threads,
        load=os.getloadavg()[0],
        torch=torch.__version__,
        figures=figures,
    )
    if arguments.out is not None:
        arguments.out.write_bytes(msgspec.json.format(msgspec.json.encode(report)) + b"\n")
    print(f"{report.threads} threads, load average {report.load:.1f}, torch {report.torch}")
    print("batch  ours ms  straightforward ms  ratio  target  worst difference")
    for f in figures:
        print(
            f"{f.batch:>5} {f.ours_ms:8.1f} {f.straightforward_ms:19.1f} {f.ratio:6.2f} "
            f"{TARGET:7.2f} {f.worst_difference:17.1e}"
        )
    is_met = all(f.ratio <= TARGET and f.worst_difference <= TOLERANCE for f in figures)
    return 0 if is_met else 1


if __name__ == "__main__":
    sys.exit(main())

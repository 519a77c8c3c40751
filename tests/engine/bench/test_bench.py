"""bench/command.py, bench/runner.py, bench/report.py, weights/random.py: what is measured is what
the options name.
"""

from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch
from slipstream_engine.__main__ import main
from slipstream_engine.bench.flops import chunk_flop
from slipstream_engine.bench.ranks import GroupFigures
from slipstream_engine.bench.report import Figures, Machine, Report, Spread, StreamFigures
from slipstream_engine.bench.runner import Case, Mode, measure_case
from slipstream_engine.bench.workload import BenchDuration, Scene
from slipstream_engine.config import EngineConfig
from slipstream_engine.weights.random import random_bundle, random_tensor
from slipstream_protocol.frames import Geometry

from tests.engine import small_real

SHORT = BenchDuration(warm_up_chunks=1, chunks=4, seconds=0.0)
MACHINE = Machine(
    device="a toy",
    dtype="float32",
    cores=2,
    threads=1,
    load=0.25,
    torch="2",
    cuda=None,
    matmul_flop_per_s=2e12,
)


def case(codec: str, mode: Mode, *, streams: int = 1, steps: int = 2) -> Case:
    config = EngineConfig(preset=small_real.preset(codec=codec), max_streams=streams)
    return Case(config=config, steps=steps, mode=mode, random_weights=True)


@pytest.mark.parametrize(
    ("codec", "mode"),
    [
        *((codec, Mode.SEQUENTIAL) for codec in ("wan", "taehv", "wan+taehv")),
        *(("taehv", mode) for mode in Mode if mode is not Mode.SEQUENTIAL),
    ],
)
def test_random_weights_of_a_real_preset(codec: str, mode: Mode) -> None:
    """Each codec and each mode runs on random weights, and the figures agree with each other."""
    one = case(codec, mode, streams=2)
    bundle = random_bundle(one.config, sizes=small_real.SIZES)
    found = measure_case(one, bundle, SHORT, MACHINE, sizes=small_real.SIZES)
    assert (found.codec, found.mode, found.streams, found.steps) == (codec, mode, 2, 2)
    assert found.random_weights and found.chunks >= 2 * SHORT.chunks - 1
    assert len(found.per_stream) == 2 and all(stream.fps > 0 for stream in found.per_stream)
    assert (found.overhead is None) == (mode is not Mode.SERVED)
    assert found.fps == pytest.approx(4 * (found.chunks - 1) / found.seconds)
    flop = chunk_flop(one.config, sizes=small_real.SIZES)
    assert found.flop == flop.encode + 2 * flop.step + flop.decode
    assert found.flop_per_s == pytest.approx(found.flop * found.fps / 4)
    assert found.matmul_share == pytest.approx(found.flop_per_s / 2e12)
    assert 0 < found.chunk_ms.p50 <= found.chunk_ms.p95 <= found.chunk_ms.p99
    assert found.encode_ms + found.denoise_ms + found.decode_ms > 0
    assert found.ttff_ms > 0 and found.memory_bytes > 10**6


def test_dead_models_are_not_timed() -> None:
    """Weights that let the picture die out would be faster than any that are alive."""
    one = case("taehv", Mode.SEQUENTIAL)
    bundle = random_bundle(one.config, sizes=small_real.SIZES)
    for parameter in bundle.model.parameters():
        parameter.data.fill_(torch.nan)
    with pytest.raises(RuntimeError, match=r"^the model's pictures deviate by 0\.00 levels"):
        measure_case(one, bundle, SHORT, MACHINE, sizes=small_real.SIZES)


def test_random_weights_keep_numbers_alive() -> None:
    """Products keep the variance of their inputs; gains are one and biases zero; nothing drifts."""

    def tensor(name: str, *shape: int) -> torch.Tensor:
        return random_tensor(name, shape, device=torch.device("cpu"), dtype=torch.float32)

    weight = tensor("blocks.0.ffn.0.weight", 256, 1024)
    out = torch.nn.functional.linear(torch.randn(64, 1024), weight)
    assert out.std().item() == pytest.approx(1.0, rel=0.05)
    assert torch.equal(weight, tensor("blocks.0.ffn.0.weight", 256, 1024))
    assert tensor("blocks.0.norm_q.weight", 8).unique().tolist() == [1.0]
    assert tensor("decoder.head.0.gamma", 8, 1, 1, 1).unique().tolist() == [1.0]
    assert tensor("blocks.0.ffn.0.bias", 8).unique().tolist() == [0.0]
    assert tensor("blocks.0.modulation", 1, 6, 400).std() < 0.06


def test_the_scene_moves_and_repeats() -> None:
    """Chunks have a stream's sizes, differ from their neighbours and never end."""
    scene = Scene(Geometry(width_px=16, height_px=8, first_chunk_frames=5, chunk_frames=4))
    sizes = [scene.chunk(number).shape for number in range(20)]
    assert sizes == [(5, 12, 16), *[(4, 12, 16)] * 19]
    assert not np.array_equal(scene.chunk(1), scene.chunk(2))
    assert np.array_equal(scene.chunk(1), scene.chunk(9))


def test_a_grid_from_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Several values make all combinations; JSON and the table hold a line for each."""
    out = tmp_path / "bench.json"
    options = "--size 64x48 48x48 --steps 1 --mode sequential batch --chunks 3 --seconds 0"
    assert main(["bench", *options.split(), "--threads", "1", "--out", str(out)]) == 0
    report = msgspec.json.decode(out.read_bytes(), type=Report)
    cells = [(f.width_px, f.height_px, f.steps, f.mode) for f in report.figures]
    assert cells == [(width, 48, 1, mode) for width in (64, 48) for mode in ("sequential", "batch")]
    assert [m.dtype for m in report.machines] == ["float32"]
    assert report.machines[0].matmul_flop_per_s > 1e8
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2 + len(cells)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ("--steps 5", "steps is 5, preset tiny takes 1 to 4"),
        ("--codec wan", "codec is 'wan', preset tiny has only its own; name no codec"),
        (
            "--size 60x44",
            "height is 44 px, it must be a multiple of 8 for preset tiny, like 40 or 48",
        ),
    ],
)
def test_what_cannot_be_is_said_before_anything_runs(
    options: str, reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A grid with one impossible cell is refused whole, with the value, the rule, the choice."""
    assert main(["bench", *options.split()]) == 1
    assert capsys.readouterr().err.splitlines() == [f"the benchmark cannot run: {reason}"]


def test_the_table() -> None:
    """People read a head for the machine and a row for each configuration."""
    figures = Figures(
        preset="tiny",
        width_px=256,
        height_px=192,
        codec="taehv",
        steps=1,
        mode=Mode.SERVED,
        streams=2,
        random_weights=False,
        note="",
        chunks=300,
        seconds=60.0,
        fps=20.04,
        chunk_ms=Spread(p50=199.6, p95=210.0, p99=220.0),
        per_stream=[
            StreamFigures(fps=fps, chunk_ms=Spread(p50=1, p95=1, p99=1)) for fps in (9.98, 10.06)
        ],
        overhead=0.0042,
        encode_ms=20.0,
        denoise_ms=150.0,
        decode_ms=25.0,
        ttff_ms=251.5,
        memory_bytes=450_000_000,
        flop=8_000_000_000,
        flop_per_s=4e10,
        matmul_share=0.402,
    )
    head, columns, row = Report(machines=[MACHINE], figures=[figures]).table().splitlines()
    assert head == "a toy, float32, 1 threads, load 0.2, torch 2, product 2.00 TFLOP/s"
    assert len(columns) == len(row)
    assert " ".join(row.split()) == (
        "tiny 256x192 taehv 1 served 2 20.0 10.0 199.6 210.0 220.0 20.0 150.0 25.0 0.42 % 252 450 "
        "0.040 40 %"
    )


def test_a_group_beside_one_device(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """what each rank computes, sends and holds; both together hold the model once."""
    out = tmp_path / "ranks.json"
    options = ["--devices", "cpu,cpu", "--plan", "layers", "--threads", "1", "--size", "64x48"]
    brief = ["--random-weights", "--chunks", "2", "--seconds", "0.1", "--out", str(out)]
    assert main(["bench", *options, *brief]) == 0
    figures = msgspec.json.decode(out.read_bytes(), type=GroupFigures)
    first, second = figures.ranks
    assert figures.fps > 0 and figures.scaling > 0 and figures.plan.form == "layers"
    assert all(rank.busy_ms > 0 and 0 <= rank.idle_share < 1 for rank in figures.ranks)
    pixels = 4 * 64 * 48 * 3 // 2
    assert pixels <= second.sent_bytes < 1.5 * pixels  # a first chunk has five frames
    assert first.weights_bytes != second.weights_bytes  # one block and two
    assert "layers" in capsys.readouterr().out


def test_a_group_takes_one_case(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "--devices", "cpu,cpu", "--streams", "1", "2"]) == 1
    assert "--streams has several values, with --devices name one" in capsys.readouterr().err

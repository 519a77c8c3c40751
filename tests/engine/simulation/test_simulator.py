"""The simulator, the policies in it, and what the scheduler is worth there."""

import argparse
import random
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from slipstream_engine.scheduling.latency_model import LatencyModel, LinearLatency
from slipstream_engine.scheduling.policy import SchedulingPolicy
from slipstream_engine.scheduling.scheduler import Scheduler
from slipstream_engine.scheduling.types import ChunkShape, PassKind, Prefetch, Stage
from slipstream_engine.simulation.baseline_policies import (
    FixedBatchPolicy,
    PaperPolicy,
    StreamBatchPolicy,
)
from slipstream_engine.simulation.camera import SimulatedCamera
from slipstream_engine.simulation.command import add_simulate, plot, table
from slipstream_engine.simulation.scenario import (
    DEVICES,
    POLICIES,
    DeviceModel,
    Scenario,
    simulate,
    suite,
)
from slipstream_engine.simulation.service_time import NoisyService, SlowDown
from slipstream_engine.simulation.simulator import OUTPUT_SLOTS, Simulator
from slipstream_engine.simulation.trace import Summary, Trace, summarise

MS = 1_000_000
S = 1_000_000_000
DEVICE = DeviceModel(encode_ms=10, pass_ms=30, step_ms=10, decode_ms=20)
SHAPE = ChunkShape(level="x", steps=2)


def still(device: DeviceModel = DEVICE) -> NoisyService:
    return NoisyService(device.lines(), noise=0, slow_down=None, rng=random.Random(0))


def camera(
    *,
    fps: float = 20,
    phase_ms: int = 0,
    target_ms: int = 10_000,
    waits_for_credit: bool = False,
    read_ms: int = 0,
) -> SimulatedCamera:
    return SimulatedCamera(
        fps=fps,
        phase_ns=phase_ms * MS,
        jitter_ns=0,
        target_ns=target_ms * MS,
        device=0,
        shape=SHAPE,
        waits_for_credit=waits_for_credit,
        read_ns=read_ms * MS,
    )


def simulated(policy: SchedulingPolicy, *cameras: SimulatedCamera, until_s: float = 10) -> Trace:
    return Simulator([policy], [still()], cameras, random.Random(0)).run(round(until_s * S))


def measured(name: str, scenario: Scenario) -> Summary:
    trace = simulate(scenario, POLICIES[name])
    return summarise(name, trace, until_ns=round(scenario.seconds * S))


# ---- time and chance


def test_ages_are_counted_from_the_first_frame() -> None:
    """at 20 fps a chunk's first frame is 150 ms old when its last comes, and 110 ms are added."""
    trace = simulated(FixedBatchPolicy(1), camera())
    assert {outcome.age_ns for outcome in trace.outcomes} == {260 * MS}
    assert [outcome.chunk for outcome in trace.outcomes] == list(range(50))
    assert not any(outcome.is_missed for outcome in trace.outcomes)


def test_late_and_dropped_are_missed() -> None:
    """a chunk later than its target is missed, and so is one that was dropped."""
    late = simulated(FixedBatchPolicy(1), camera(target_ms=259))
    assert all(outcome.is_missed for outcome in late.outcomes)
    lost = simulated(FixedBatchPolicy(1), camera(fps=200))
    assert any(outcome.age_ns is None for outcome in lost.outcomes)
    assert all(outcome.is_missed for outcome in lost.outcomes if outcome.age_ns is None)


def test_noise_has_mean_one_and_its_width() -> None:
    """service times scatter around the line by the given width."""
    service = NoisyService(DEVICE.lines(), noise=0.2, slow_down=None, rng=random.Random(3))
    kind = PassKind(stage=Stage.DENOISE, level="x")
    drawn = [service.duration_ns(kind, 2, 0) / (50 * MS) for _ in range(4000)]
    mean = sum(drawn) / len(drawn)
    width = (sum((value - mean) ** 2 for value in drawn) / len(drawn)) ** 0.5
    assert mean == pytest.approx(1, abs=0.02) and width == pytest.approx(0.2, abs=0.02)


def test_a_slow_down_has_a_beginning_and_an_end() -> None:
    """passes that start within it take the factor, others do not."""
    slow_down = SlowDown(from_ns=10, to_ns=20, factor=2)
    service = NoisyService(DEVICE.lines(), noise=0, slow_down=slow_down, rng=random.Random(0))
    kind = PassKind(stage=Stage.ENCODE, level="x")
    assert [service.duration_ns(kind, 1, at_ns) for at_ns in (9, 10, 19, 20)] == [
        10 * MS,
        20 * MS,
        20 * MS,
        10 * MS,
    ]


def test_a_seed_determines_the_trace() -> None:
    """the same seed gives the same trace, another one another."""
    scenario = Scenario(device=DEVICE, seconds=30, seed=4)
    trace = simulate(scenario, POLICIES["slo-aware"])
    assert simulate(scenario, POLICIES["slo-aware"]) == trace
    other = Scenario(device=DEVICE, seconds=30, seed=5)
    assert simulate(other, POLICIES["slo-aware"]) != trace


# ---- flow control


def passes_of(trace: Trace, stage: Stage) -> int:
    return sum(one.stage is stage for one in trace.passes)


@pytest.mark.parametrize("waits_for_credit", [False, True])
def test_a_viewer_who_reads_slowly_holds_its_stream(waits_for_credit: bool) -> None:
    """one that takes a second for each chunk gets one a second, as many as there are output slots
    in the first, and the device computes no more than that, but for the chunks in flight."""
    slow = camera(waits_for_credit=waits_for_credit, read_ms=1000)
    trace = simulated(POLICIES["slo-aware"](), slow)
    decoded = passes_of(trace, Stage.DECODE)
    assert 9 * OUTPUT_SLOTS <= decoded <= 10 * OUTPUT_SLOTS + 1
    assert passes_of(trace, Stage.ENCODE) <= decoded + 2


def test_a_slow_viewer_holds_up_only_itself() -> None:
    """the stream beside it has every chunk in time."""
    slow, other = camera(fps=10, read_ms=60_000), camera(fps=10, target_ms=1000, phase_ms=200)
    trace = simulated(POLICIES["slo-aware"](), slow, other)
    finished = [item.stream for item in trace.outcomes if item.age_ns is not None]
    assert finished.count(0) == OUTPUT_SLOTS
    assert not any(item.is_missed for item in trace.outcomes if item.stream == 1)
    assert finished.count(1) >= 24


# ---- the policies


def test_fixed_one_runs_chunk_after_chunk() -> None:
    """B = 1 never shares a pass, even when it falls behind."""
    trace = simulated(FixedBatchPolicy(1), camera(fps=60), camera(fps=60, phase_ms=5))
    assert {taken.items for taken in trace.passes} == {1}


def test_the_stream_batch_lags_by_a_chunk() -> None:
    """with two steps a chunk is out when its successor's first step is done, as released."""
    trace = simulated(StreamBatchPolicy(), camera())
    # collecting, the next chunk's arrival, its encode, the common pass, decode
    assert {outcome.age_ns for outcome in trace.outcomes} == {(150 + 200 + 10 + 50 + 20) * MS}
    sizes = [taken.items for taken in trace.passes if taken.stage is Stage.DENOISE]
    assert sizes == [1] + [2] * (len(sizes) - 1)


def test_the_papers_rule_grows_when_chunks_are_lost() -> None:
    """B rises while it pays and chunks are lost, and falls when it only makes them late."""
    latency = LatencyModel(LinearLatency(base_ns=1 * MS, per_item_ns=1 * MS))
    rule = PaperPolicy(latency)
    fast = [camera(fps=16, phase_ms=phase, target_ms=5000) for phase in (0, 80, 160)]
    simulated(rule, *fast, until_s=60)
    assert rule.size > 1
    idle = PaperPolicy(latency)
    idle.size = 3
    simulated(idle, camera(fps=4, target_ms=100), until_s=120)
    assert idle.size == 1


# ---- several devices


def test_devices_do_not_share_streams() -> None:
    """streams are dealt out in turn: two GPUs with one each do what one GPU does with one."""
    one = Scenario(device=DEVICE, streams=1, noise=0, jitter_ms=0, seconds=60)
    two = Scenario(device=DEVICE, streams=2, gpus=2, noise=0, jitter_ms=0, seconds=60)
    assert one.fps == two.fps
    assert measured("fixed B=1", two).age_p50_ms == measured("fixed B=1", one).age_p50_ms


# ---- what it is worth


@pytest.mark.parametrize("streams", [2, 3, 4])
@pytest.mark.parametrize("seed", [1, 2])
def test_misses_at_ninety_percent_load(streams: int, seed: int) -> None:
    """with 20 % service noise the scheduler misses at most half of the best fixed policy's."""
    scenario = Scenario(
        device=DEVICES["h100-1.3b-512"],
        streams=streams,
        target_ms={2: 850, 3: 1000, 4: 1200}[streams],
        seconds=200,
        seed=seed,
    )
    assert (scenario.load, scenario.noise) == (0.9, 0.2)
    best = min(measured(name, scenario).missed for name in ("fixed B=1", "stream batch"))
    assert best > 0.05
    assert measured("slo-aware", scenario).missed <= best / 2


def test_overload_finishes_few_chunks_late() -> None:
    """half as much again as can be done: what is finished is mostly in time, the rest not begun."""
    scenario = Scenario(device=DEVICES["h100-1.3b-512"], load=1.5, target_ms=1000, seconds=200)
    ours = measured("slo-aware", scenario)
    assert ours.missed - ours.dropped < 0.05
    for name in POLICIES:
        assert ours.missed <= measured(name, scenario).missed


class PrefetchesAtOnce(Scheduler):
    """Wants the next chunk as soon as one is finished, whoever else waits."""

    def prefetch(self, stream: int) -> Prefetch:
        return Prefetch.AFTER_OUTPUT


def alone(policy: Callable[..., Scheduler]) -> Scheduler:
    """A scheduler on a device that gains nothing from shared passes."""
    return policy(LatencyModel(LinearLatency(base_ns=20 * MS, per_item_ns=20 * MS)), max_batch=1)


@pytest.mark.parametrize("load", [1.1, 1.5, 3.0])
@pytest.mark.parametrize("streams", [2, 4])
def test_chunks_stay_fresh_past_capacity(streams: int, load: float) -> None:
    """where passes are not shared a chunk waits for the rest of one other, not for all others: as
    many are finished, none is dropped, and they are a fifth younger with two streams, a third with
    four."""
    scenario = Scenario(
        device=DeviceModel(encode_ms=12, pass_ms=5, step_ms=75, decode_ms=18),
        streams=streams,
        steps=1,
        load=load,
        seconds=100,
        waits_for_credit=True,
    )
    in_turn, at_once = (
        summarise(
            "",
            simulate(scenario, partial(alone, policy)),
            until_ns=100 * S,
        )
        for policy in (Scheduler, PrefetchesAtOnce)
    )
    assert in_turn.chunks >= 0.995 * at_once.chunks
    assert in_turn.dropped == 0
    assert in_turn.age_p95_ms <= (0.8 if streams == 2 else 0.67) * at_once.age_p95_ms


def test_cameras_that_wait_for_credits_lose_no_capacity_to_sharing() -> None:
    """where passes are shared, streams that wait for credits have as many chunks finished as
    streams that push, at a lower age."""
    pushed = Scenario(device=DEVICES["h100-1.3b-512"], load=1.1, streams=4, target_ms=1500)
    pulled = replace(pushed, waits_for_credit=True)
    theirs, ours = (measured("slo-aware", replace(s, seconds=200)) for s in (pushed, pulled))
    assert ours.chunks * (1 - ours.dropped) >= theirs.chunks * (1 - theirs.dropped)
    assert ours.mean_batch > 1.5


def test_a_slow_down_is_met_with_larger_batches_and_forgotten() -> None:
    """B rises in the slow third and is back after it; misses are fewer than any other policy's."""
    scenario = Scenario(
        device=DEVICES["h100-1.3b-512"],
        streams=2,
        load=0.6,
        slow_down=2,
        target_ms=1300,
        seconds=300,
    )
    ours = measured("slo-aware", scenario)
    before, during, after = (ours.batch_by_slice[index] for index in (1, 5, 8))
    assert during > 1.2 > 1.1 > max(before, after)
    assert ours.missed_by_slice[8] < 0.01
    for name in POLICIES:
        assert ours.missed <= measured(name, scenario).missed


def test_no_miss_where_there_is_slack() -> None:
    """at half load the scheduler is chunk after chunk, and misses nothing."""
    scenario = Scenario(device=DEVICES["h100-1.3b-512"], streams=2, load=0.5, seconds=200)
    ours = measured("slo-aware", scenario)
    assert (ours.missed, ours.mean_batch) == (0, 1)


# ---- the command


def arguments(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_simulate(parser.add_subparsers(required=True))
    return parser.parse_args(["simulate", *words])


def test_the_command_prints_its_tables(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """every policy has a row in both tables, and the picture is a PNG."""
    pytest.importorskip("matplotlib")
    picture = tmp_path / "b.png"
    parsed = arguments("--seconds", "20", "--gpus", "2", "--plot", str(picture))
    assert parsed.run(parsed) == 0
    lines = capsys.readouterr().out.splitlines()
    for name in POLICIES:
        assert sum(line.startswith(name) for line in lines) >= 2
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_the_suite_is_one_table(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """every case has a row for every policy; the slow case gives the picture."""
    pytest.importorskip("matplotlib")
    picture = tmp_path / "slow.png"
    parsed = arguments("--suite", "--seconds", "20", "--plot", str(picture))
    assert parsed.run(parsed) == 0
    head, _, *rows = capsys.readouterr().out.splitlines()
    assert head.startswith("| case | policy | missed | dropped | age ms p50 / p95 / p99 |")
    assert len(rows) == len(suite(seconds=20)) * len(POLICIES)
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_without_matplotlib_the_picture_is_refused_in_words(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """the message says what to install."""
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(RuntimeError, match=r"pip install 'slipstream\[plot\]'"):
        plot([], tmp_path / "b.png")


def test_nothing_to_simulate_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """the value, the rule; and the command says it without a traceback."""
    parsed = arguments("--load", "0")
    assert parsed.run(parsed) == 1
    assert capsys.readouterr().err == "simulate: load is 0.0, it must be above 0\n"
    with pytest.raises(ValueError, match="streams is 0, it must be above 0"):
        Scenario(device=DEVICE, streams=0)
    with pytest.raises(ValueError, match="noise is -1, it must not be negative"):
        Scenario(device=DEVICE, noise=-1)
    with pytest.raises(ValueError, match="no chunk came to its end, simulate for longer"):
        summarise("x", Trace(), until_ns=1)


def test_the_table_reads_well() -> None:
    """the figures of a policy stand under their heads."""
    scenario = Scenario(device=DEVICE, noise=0, jitter_ms=0, streams=1, load=0.5, seconds=30)
    head, row, *_ = table([measured("fixed B=1", scenario)]).splitlines()
    assert head.split() == ["policy", "missed", "dropped", "age", "p50", "p95", "p99", "ms", "B"]
    assert row.split() == ["fixed", "B=1", "0.00%", "0.00%", "230", "230", "230", "1.00"]

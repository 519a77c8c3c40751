"""Which devices share a model, and by which plan: what cannot be is said before anything starts."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from slipstream_engine.config import EngineConfig
from slipstream_engine.group.workers import RankStartError
from slipstream_engine.parallel import link_times
from slipstream_engine.parallel.message_layouts import MessageLayout, MessageLayouts
from slipstream_engine.parallel.model_costs import ModelCosts
from slipstream_engine.parallel.plan import PipelinePlan, write_plan
from slipstream_engine.parallel.plan_forms import even_ranges, layers_plan
from slipstream_engine.parallel.process_group import why_not_joined
from slipstream_engine.presets import PRESETS
from slipstream_engine.weights import group, plan_choice
from slipstream_engine.weights.factory import device_group
from slipstream_engine.weights.group import group_of, load_model
from slipstream_engine.weights.plan_choice import MeasuredDevice, choose_by, plan_for, plan_of
from slipstream_engine.weights.request import ModelRequest
from slipstream_protocol.frames import Geometry

TINY = PRESETS["tiny"]
LAYOUTS = MessageLayouts(
    latents=(4, 8, 8),
    tokens=(16, 32),
    dtype=torch.float32,
    geometry=Geometry(width_px=64, height_px=64, first_chunk_frames=5, chunk_frames=4),
)


@pytest.fixture
def two_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)


@pytest.mark.usefixtures("two_gpus")
def test_devices_are_checked() -> None:
    assert device_group(("auto",)) == ("cuda:0", "cuda:1")
    assert device_group(("cuda:1", "cuda:0")) == ("cuda:1", "cuda:0")
    assert device_group(("cpu", "cpu")) == ("cpu", "cpu")
    for names, reason in (
        (("cuda:0", "cuda"), "devices name cuda:0 twice, each runs one rank; name it once"),
        (("cuda:0", "cuda:2"), "device is cuda:2, the last GPU here is cuda:1"),
        (("cuda:0", "cpu"), "a group is of one kind; name GPUs only, or cpu only"),
        (("gpu", "cpu"), "device is 'gpu', it must be one of torch's"),
    ):
        with pytest.raises(ValueError, match=reason):
            device_group(names)


def test_without_a_gpu_all_devices_are_the_cpu() -> None:
    assert device_group(("auto",)) == ("cpu",)


def test_one_device_or_several() -> None:
    request = ModelRequest(device="cpu", devices=("cpu", "cpu"))
    with pytest.raises(ValueError, match="device and devices are both given, choose one"):
        group_of(request)


def test_a_plan_must_be_for_this_model_and_these_devices(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="4 ranks cannot share 3 blocks, each must have one"):
        plan_of("layers", TINY, ranks=4, max_steps=None)
    file = tmp_path / "plan.json"
    file.write_bytes(write_plan(layers_plan(even_ranges(4, 2), steps=4)))
    with pytest.raises(ValueError, match=r"blocks of the plan .* is 4, here it must be 3"):
        plan_of(str(file), TINY, ranks=2, max_steps=None)
    with pytest.raises(ValueError, match="ranks of the plan"):
        plan_of(str(file), TINY, ranks=3, max_steps=None)
    hole = file.read_text().replace('"first_block": 2', '"first_block": 3')
    file.write_text(hole)
    with pytest.raises(ValueError, match="block 2 of step 0 have no rank; give them to one"):
        plan_of(str(file), TINY, ranks=2, max_steps=None)
    with pytest.raises(OSError, match="no-such-plan"):
        plan_of("no-such-plan", TINY, ranks=2, max_steps=None)


def test_a_torch_that_cannot_join_ranks_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.distributed, "is_gloo_available", lambda: False)
    with pytest.raises(ValueError, match="this torch is built without Gloo, install one with it"):
        load_model(ModelRequest(devices=("cpu", "cpu")))
    monkeypatch.setattr(torch.distributed, "is_nccl_available", lambda: False)
    reason = why_not_joined(["cuda:0", "cuda:1"])
    assert reason == "this torch is built without NCCL, install one with it, or use one device"


@pytest.fixture
def links(monkeypatch: pytest.MonkeyPatch) -> dict[tuple[str, str], tuple[float, ...]]:
    """What links take, in place of measuring them; those that are not named, nothing."""
    times_ms: dict[tuple[str, str], tuple[float, ...]] = {}

    def measure(one: str, other: str, layouts: list[MessageLayout]) -> tuple[float, ...]:
        assert layouts == [LAYOUTS.of_activations(1), LAYOUTS.of_latents(1)]
        return times_ms.get((one, other), (0.0, 0.0))

    monkeypatch.setattr(link_times, "measure_link", measure)
    return times_ms


def test_the_plan_follows_what_links_take(
    links: dict[tuple[str, str], tuple[float, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """of all the slowest one: where activations take longer than blocks, a step goes through fewer
    devices, and others take other steps; the reason says which link it was."""
    costs = ModelCosts(encode_ms=10.0, decode_ms=10.0, block_ms=(30.0, 30.0, 30.0))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "RTX")
    first = MeasuredDevice(costs=costs, free_bytes=None, layouts=LAYOUTS)
    devices = ("cuda:0", "cuda:1", "cuda:2")
    two_steps = replace(TINY, schedule=replace(TINY.schedule, steps=2))
    near = choose_by(first, ModelRequest(), two_steps, devices)
    assert near.plan.rank_paths == ((0, 1, 2),)
    links["cuda:1", "cuda:2"] = (400.0, 0.25)
    far = choose_by(first, ModelRequest(), two_steps, devices)
    assert far.plan.rank_paths == ((0,), (1, 2))
    assert far.reason.endswith(
        "; the link from cuda:1 to cuda:2 takes 400.00 ms for the activations of a step, 0.25 ms "
        "for latents"
    )


@pytest.mark.usefixtures("links")
def test_the_plan_follows_what_the_model_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    """a decoder as slow as all blocks together has a rank of its own, and the reason says why."""
    costs = ModelCosts(encode_ms=1.0, decode_ms=90.0, block_ms=(30.0, 30.0, 30.0))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "RTX")
    first = MeasuredDevice(costs=costs, free_bytes=None, layouts=LAYOUTS)
    chosen = choose_by(first, ModelRequest(), TINY, ("cuda:0", "cuda:1"))
    assert not chosen.plan.segments_of(chosen.plan.decode_rank)
    assert chosen.reason.startswith(f"{chosen.plan.form} over cuda:0, cuda:1: ")


@pytest.mark.usefixtures("links")
def test_devices_of_several_kinds_are_measured_each(monkeypatch: pytest.MonkeyPatch) -> None:
    """one of each kind, before the first plan: a GPU half as fast gets half as many blocks."""
    kinds = {"cuda:0": "fast", "cuda:1": "slow", "cuda:2": "fast"}
    block_ms = {"cuda:0": 100.0, "cuda:1": 200.0}
    asked: list[str] = []

    def measure_on(name: str, request: ModelRequest) -> MeasuredDevice:
        asked.append(name)
        costs = ModelCosts(encode_ms=0.0, decode_ms=0.0, block_ms=(block_ms[name],) * 5)
        return MeasuredDevice(costs=costs, free_bytes=None, layouts=LAYOUTS)

    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: kinds[str(device)])
    monkeypatch.setattr(plan_choice, "measure_on", measure_on)
    preset = replace(TINY, dit=replace(TINY.dit, layers=5))
    chosen = plan_for(ModelRequest(plan="auto"), preset, tuple(kinds))
    assert asked == ["cuda:0", "cuda:1"]
    blocks = [len(chosen.plan.blocks_of(rank, 0)) for rank in range(3)]
    assert (chosen.plan.form, blocks) == ("layers", [2, 1, 2])
    assert "; they take 1.00, 2.00, 1.00 times as long as the first; " in chosen.reason


def test_a_rank_that_does_not_come_up_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """the others get a plan of their own, and people are told; not so for the leader's own rank."""
    asked: list[tuple[int, str]] = []

    def start(config: EngineConfig, plan: PipelinePlan, devices: list[str], **more: Any) -> Any:
        asked.append((plan.ranks, more["note"]))
        if len(devices) > 2:
            raise RankStartError(1, "rank 1 on cpu has ended at its start with exit code 1")
        if len(devices) == 2 and len(asked) > 2:
            raise RankStartError(0, "rank 0 on cpu cannot start: no memory")
        return "the group"

    monkeypatch.setattr(group, "start_group", start)
    request = ModelRequest(devices=("cpu", "cpu", "cpu"), plan="layers")
    loaded: object = load_model(request)
    assert loaded == "the group"
    assert [ranks for ranks, _ in asked] == [3, 2]
    assert "without cpu: rank 1 on cpu has ended at its start with exit code 1" in asked[-1][1]
    with pytest.raises(ValueError, match="rank 0 on cpu cannot start: no memory"):
        load_model(ModelRequest(devices=("cpu", "cpu"), plan="layers"))

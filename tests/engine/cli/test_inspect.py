"""cli/inspect.py: how several devices would be joined, as `slipstream doctor` asks."""

import pytest
import torch
from slipstream_engine.cli import inspect as inspect_module
from slipstream_engine.cli.inspect import inspect, peer_links
from slipstream_engine.parallel.process_group import joined_by
from slipstream_engine.weights.request import ModelRequest
from slipstream_protocol.inspection import PeerLink

WITHIN_MS = 20_000.0  # else it has not met


def test_devices_without_peers_have_no_links() -> None:
    """CPUs are joined by Gloo; one device by nothing."""
    found = inspect(ModelRequest(preset="tiny", devices=("cpu", "cpu")))
    assert found.device == "cpu, cpu" and found.device_problem is None
    assert found.joined_by == f"Gloo of torch {torch.__version__}"
    assert found.links == ()
    assert found.join_problem is None
    assert found.megabyte_ms is not None and 0 < found.megabyte_ms < WITHIN_MS
    assert inspect(ModelRequest(preset="tiny", device="cpu")).joined_by == ""


def test_devices_that_do_not_meet_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """what is wrong is a finding, no failure of the inspection."""

    def broken(one: str, other: str, layouts: object, **_: object) -> tuple[float, ...]:
        raise RuntimeError(f"{one} and {other} cannot be joined: no route")

    monkeypatch.setattr(inspect_module, "measure_link", broken)
    found = inspect(ModelRequest(preset="tiny", devices=("cpu", "cpu")))
    assert found.join_problem == "cpu and cpu cannot be joined: no route"
    assert found.megabyte_ms is None and found.device_problem is None


def test_each_pair_of_gpus_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """of the devices that are named, whatever others there are; with the version of NCCL."""
    bridged = {(0, 2)}

    def can_access(one: torch.device, other: torch.device) -> bool:
        return (one.index, other.index) in bridged

    monkeypatch.setattr(torch.cuda, "can_device_access_peer", can_access)
    monkeypatch.setattr(torch.cuda.nccl, "version", lambda: (2, 27, 3))
    devices = ("cuda:0", "cuda:2", "cuda:3")
    assert list(peer_links(devices)) == [
        PeerLink(one="cuda:0", other="cuda:2", is_direct=True),
        PeerLink(one="cuda:0", other="cuda:3", is_direct=False),
        PeerLink(one="cuda:2", other="cuda:3", is_direct=False),
    ]
    assert joined_by(devices) == "NCCL 2.27.3"

"""deploy/fleet.yaml: Ray takes it, and its settings are a fleet's."""

import inspect
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]
from slipstream_fleet.fleet_config import FleetConfig, read_fleet_config

CONFIG: dict[str, Any] = yaml.safe_load(
    (Path(__file__).parents[2] / "deploy/fleet.yaml").read_text()
)


def test_its_settings_are_a_fleets() -> None:
    """those of the one application, with its name, at the root of the address."""
    (application,) = CONFIG["applications"]
    config = read_fleet_config(application["args"])
    assert config == FleetConfig(
        nodes=2, most_nodes=8, gpus_per_node=1, server=("--preset", "wan-1.3b")
    )
    assert application["route_prefix"] == "/"


def test_ray_takes_it() -> None:
    """by its own schema; what it imports is there, and makes an application of two deployments."""
    schema = pytest.importorskip("ray.serve.schema", reason="Ray is not installed")
    from slipstream_fleet import ray_app

    (application,) = schema.ServeDeploySchema.model_validate(CONFIG).applications
    assert application.name == ray_app.APP
    module, _, name = application.import_path.partition(":")
    assert (module, getattr(ray_app, name)) == (ray_app.__name__, ray_app.serve_application)
    assert ray_app.serve_application(application.args) is not None


@pytest.mark.parametrize(
    ("streams", "free", "waiting", "replicas"), [(2, 0, 0, 1), (2, 0, 3, 3), (1, 1, 0, 1)]
)
def test_serve_is_given_a_number_of_replicas(
    streams: int, free: int, waiting: int, replicas: int
) -> None:
    """by what a replica says of itself, and of the callers who wait at the gate."""
    config = pytest.importorskip("ray.serve.config", reason="Ray is not installed")
    from slipstream_fleet import ray_app

    said = {"streams": streams, "free": free, "waiting": waiting}
    metrics = {f"slipstream_{name}": {"one": float(value)} for name, value in said.items()}
    context = config.AutoscalingContext(
        **dict.fromkeys(inspect.signature(config.AutoscalingContext).parameters)
        | {"target_num_replicas": 1, "aggregated_metrics": metrics}
    )
    policy = ray_app.HeadroomPolicy(least=1, most=3, spare=0, down_delay_s=600)
    assert policy(context) == (replicas, {})

"""deploy/fleet.yaml: Ray takes it, and its settings are a fleet's."""

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

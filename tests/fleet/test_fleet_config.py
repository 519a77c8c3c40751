"""A fleet's settings."""

from typing import Any

import pytest
from slipstream_fleet.fleet_config import FleetConfig, read_fleet_config
from slipstream_server.errors import ConfigError


def test_flags_and_a_serve_config_are_read_alike() -> None:
    """flags are text, YAML has numbers."""
    texts = {"nodes": "2", "most_nodes": "4", "server": ["--pipeline", "echo"]}
    numbers = {"nodes": 2, "most_nodes": 4, "server": ("--pipeline", "echo")}
    assert read_fleet_config(texts) == read_fleet_config(numbers)


def test_the_number_of_nodes_follows_the_load_where_there_may_be_more() -> None:
    assert FleetConfig(nodes=2).scaling is None
    scaling = FleetConfig(nodes=2, most_nodes=4).scaling
    assert scaling is not None and (scaling.least, scaling.most, scaling.spare) == (2, 4, 1)


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"nodes": 0}, "nodes is 0, it must be from 1 to 1024"),
        ({"nodes": "two"}, r"the fleet's settings: .*nodes"),
        ({"gpus": 1}, "the fleet's settings: .*gpus"),
        ({"nodes": 3, "most_nodes": 2}, "most_nodes is 2, which is below nodes, 3"),
        ({"first_port": 65_500}, "first_port is 65500, it must be from 1024 to 65335"),
        (
            {"server": ["--port", "9000", "--hand-over=false"]},
            "--port, --hand-over=false of a node is chosen by the fleet",
        ),
    ],
)
def test_what_cannot_be_is_refused(settings: dict[str, Any], text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        read_fleet_config(settings)

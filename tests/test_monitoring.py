"""The Grafana board and Prometheus' rules under docker/: they can be read, and name what exists."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import promql_parser
import pytest
import yaml  # type: ignore[import-untyped]
from prometheus_client.parser import text_string_to_metric_families
from slipstream_fleet.fleet_metrics import FleetMetrics
from slipstream_fleet.fleet_report import FleetReport
from slipstream_server.engine_status import EngineState, EngineStatus
from slipstream_server.observability.metrics import CallCounts, Metrics

DOCKER = Path(__file__).parents[1] / "docker"
BOARD: dict[str, Any] = json.loads((DOCKER / "grafana-board.json").read_text())
ALERTS = DOCKER / "prometheus-alerts.yaml"
RULES: list[dict[str, Any]] = [
    rule for group in yaml.safe_load(ALERTS.read_text())["groups"] for rule in group["rules"]
]
COMPOSE: dict[str, Any] = yaml.safe_load((DOCKER / "compose.yaml").read_text())
# what Prometheus and its client for Python add themselves
OTHERS = {"up", "process_resident_memory_bytes", "process_cpu_seconds_total"}


def expressions() -> Iterator[tuple[str, str]]:
    """Each with the panel or rule that it is of."""
    for panel in BOARD["panels"]:
        for target in panel["targets"]:
            yield panel["title"], target["expr"].replace("$__rate_interval", "1m")
    for rule in RULES:
        yield rule["alert"], rule["expr"]


def exported() -> set[str]:
    """The names that can be asked for; metrics with labels have no samples until these are used."""
    status = EngineStatus(state=EngineState.STOPPED, detail="")
    fleet = FleetReport(nodes=(), streams=0, free=0, waiting=0, versions=(), lost_total=0)
    text = Metrics().render(status, CallCounts()).decode()
    text += FleetMetrics(lambda: fleet).exposition().body.decode()
    names: set[str] = set()
    for family in text_string_to_metric_families(text):
        names |= {sample.name for sample in family.samples}
        kinds = {"counter": ["_total"], "histogram": ["_bucket", "_sum", "_count"]}
        names |= {family.name + suffix for suffix in kinds.get(family.type, [""])}
    return names


def selected(expression: str) -> set[str]:
    """The metrics that an expression asks for."""
    return set(re.findall(r"\b(slipstream_\w+|process_\w+|up)\b", expression))


def problems(expression: str) -> list[str]:
    """What is wrong with an expression."""
    unknown = selected(expression) - exported() - OTHERS
    try:
        promql_parser.parse(expression)
    except ValueError as error:
        return [str(error), *sorted(unknown)]
    return sorted(unknown)


@pytest.mark.parametrize(("where", "expression"), list(expressions()))
def test_an_expression_parses_and_names_metrics_that_exist(where: str, expression: str) -> None:
    """by the grammar of Prometheus, types included; and it asks for something."""
    assert problems(expression) == [], where
    assert selected(expression), where


@pytest.mark.parametrize(
    "expression",
    ["rate(slipstream_fps)", "sum(slipstream_frames_total", "slipstream_frames", "slipstream_old"],
)
def test_a_wrong_expression_is_found(expression: str) -> None:
    """an instant vector where a range is due, a missing bracket, a counter without its suffix."""
    assert problems(expression)


def test_every_alert_says_what_to_do() -> None:
    for rule in RULES:
        assert rule["labels"]["severity"] in ("page", "ticket")
        assert rule["annotations"]["summary"] and rule["annotations"]["action"]
    names = [rule["alert"] for rule in RULES]
    assert len(set(names)) == len(names)


def test_every_histogram_is_on_the_board() -> None:
    """of what the server measures: a stage nobody can see is measured for nothing."""
    shown = {name for _, expression in expressions() for name in selected(expression)}
    histograms = {name for name in exported() if name.endswith("_bucket")}
    assert histograms <= shown


def test_the_containers_get_both() -> None:
    """compose mounts them where Prometheus and Grafana look for them."""
    mounted = {
        target: DOCKER / source
        for service in ("prometheus", "grafana")
        for source, target, *_ in (
            volume.split(":") for volume in COMPOSE["services"][service]["volumes"]
        )
        if source.startswith("./")
    }
    assert all(source.is_file() for source in mounted.values())
    prometheus = yaml.safe_load(COMPOSE["configs"]["prometheus"]["content"])
    assert [mounted[path] for path in prometheus["rule_files"]] == [ALERTS]
    boards = yaml.safe_load((DOCKER / "grafana-boards.yaml").read_text())["providers"]
    folders = {
        str(Path(path).parent) for path, source in mounted.items() if source.suffix == ".json"
    }
    assert folders == {provider["options"]["path"] for provider in boards}
    (source,) = yaml.safe_load((DOCKER / "grafana-datasource.yaml").read_text())["datasources"]
    assert {panel["datasource"]["uid"] for panel in BOARD["panels"]} == {source["uid"]}


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool comes with Prometheus")
def test_promtool_agrees() -> None:
    subprocess.run(["promtool", "check", "rules", str(ALERTS)], check=True, timeout=30)

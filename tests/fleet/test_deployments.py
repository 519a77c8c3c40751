"""docker/fleet.yaml and docker/kuberay.yaml: their keys exist, and what they name does, in Ray, in
the image and in the fleet."""

import re
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml  # type: ignore[import-untyped]
from slipstream_fleet.fleet_config import FleetConfig, read_fleet_config

ROOT = Path(__file__).parents[2]
DOCKER = ROOT / "docker"
GATE_CPUS = 0.1  # of the gate's deployment
FILES = ["compose.yaml", "compose.gpu.yaml", "fleet.yaml", "fleet.gpu.yaml"]
RAY_CPUS = {"docker": 2, "kuberay": 4}  # that a node's container has


class Form(msgspec.Struct, forbid_unknown_fields=True):
    """A part of a file, whose keys are these and no others."""


class KubeForm(Form, rename="camel"):
    """The same as Kubernetes writes its keys."""


class Build(Form):
    target: str
    context: str = ""
    dockerfile: str = ""


class Healthcheck(Form):
    disable: bool = False
    test: list[str] = []
    start_period: str = ""


class Mounted(Form):
    source: str
    target: str


class Extended(Form):
    file: str
    service: str


class Service(Form):
    """Keys of a service in the Compose specification, as far as they are used here."""

    build: Build | None = None
    cap_add: list[str] = []
    cap_drop: list[str] = []
    command: list[str] = []
    configs: list[Mounted] = []
    depends_on: list[str] = []
    deploy: dict[str, Any] = {}
    entrypoint: list[str] = []
    environment: dict[str, str] = {}
    extends: Extended | None = None
    healthcheck: Healthcheck | None = None
    image: str = ""
    init: bool = False
    network_mode: str = ""
    profiles: list[str] = []
    read_only: bool = False
    restart: str = ""
    secrets: list[str] = []
    security_opt: list[str] = []
    shm_size: str = ""
    stop_grace_period: str = ""
    tmpfs: list[str] = []
    volumes: list[str] = []


class Variable(KubeForm):
    name: str
    value: str | None = None
    value_from: dict[str, dict[str, Any]] | None = None


class Port(KubeForm):
    name: str
    container_port: int


class Resources(KubeForm):
    requests: dict[str, str]
    limits: dict[str, str]


class Container(KubeForm):
    name: str
    image: str
    security_context: dict[str, Any]
    env: list[Variable]
    ports: list[Port]
    resources: Resources


class Pod(KubeForm):
    """Keys of a pod in Kubernetes, as far as they are used here."""

    containers: list[Container]
    security_context: dict[str, Any]
    host_network: bool = False
    dns_policy: str = "ClusterFirst"
    termination_grace_period_seconds: int = 30


class Template(KubeForm):
    spec: Pod


class HeadGroup(KubeForm):
    ray_start_params: dict[str, str]
    template: Template


class WorkerGroup(HeadGroup):
    group_name: str
    replicas: int
    min_replicas: int
    max_replicas: int


class Cluster(KubeForm):
    ray_version: str
    auth_options: dict[str, str]
    enable_in_tree_autoscaling: bool
    autoscaler_options: dict[str, int]
    head_group_spec: HeadGroup
    worker_group_specs: list[WorkerGroup]


class RayServiceSpec(KubeForm):
    """Keys of a RayService in `ray.io/v1`, as far as they are used here."""

    serve_config_v2: str
    upgrade_strategy: dict[str, str]
    ray_cluster_config: Cluster


class RayService(KubeForm):
    api_version: str
    kind: str
    metadata: dict[str, str]
    spec: RayServiceSpec


def read(name: str) -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load((DOCKER / name).read_text())
    return content


def services(name: str) -> dict[str, Service]:
    return msgspec.convert(read(name)["services"], dict[str, Service])


def kuberay() -> RayServiceSpec:
    return msgspec.convert(read("kuberay.yaml"), RayService).spec


def serve_configs() -> dict[str, dict[str, Any]]:
    return {
        "docker": read("fleet-serve.yaml"),
        "kuberay": yaml.safe_load(kuberay().serve_config_v2),
    }


def fleet_config(name: str) -> FleetConfig:
    (application,) = serve_configs()[name]["applications"]
    return read_fleet_config(application["args"])


def ray_options() -> set[str]:
    """The flags of `ray start`."""
    scripts = pytest.importorskip("ray.scripts.scripts", reason="Ray is not installed")
    return {flag for option in scripts.start.params for flag in option.opts}


def flags(words: Iterable[str]) -> set[str]:
    """The flags in a command of Ray."""
    return set(re.findall(r"--[a-z-]+", " ".join(words)))


@pytest.mark.parametrize("name", FILES)
def test_a_compose_file_has_known_keys_and_targets(name: str) -> None:
    """a target is a stage of the image; volumes, secrets and other services are there."""
    stages = re.findall(r"^FROM \S+ AS (\S+)$", (DOCKER / "Dockerfile").read_text(), re.MULTILINE)
    top, found = read(name), services(name)
    for service in found.values():
        if service.build is not None:
            assert service.build.target in stages
        if service.extends is not None:
            assert service.extends.service in services(service.extends.file)
        assert set(service.depends_on) <= set(found)
        assert set(service.secrets) <= set(top.get("secrets", {}))
        mounted = [volume.split(":")[0] for volume in service.volumes if volume[0] not in ".$/"]
        assert set(mounted) <= set(top.get("volumes", {}))


def test_an_unknown_key_is_found() -> None:
    with pytest.raises(msgspec.ValidationError, match="unknown field `readonly`"):
        msgspec.convert({"readonly": True}, Service)


def test_the_gpu_file_changes_services_that_are_there() -> None:
    assert set(services("fleet.gpu.yaml")) <= set(services("fleet.yaml"))


def test_what_is_extended_has_its_parts() -> None:
    """volumes, configs and secrets of a service of another file are named in this one."""
    top = read("fleet.yaml")
    known = set(top["volumes"]) | set(top["configs"]) | set(top["secrets"])
    for service in services("fleet.yaml").values():
        if service.extends is None:
            continue
        other = services(service.extends.file)[service.extends.service]
        volumes = [volume.split(":")[0] for volume in other.volumes if volume[0] not in "./$"]
        assert {*volumes, *other.secrets, *(one.source for one in other.configs)} <= known


def test_ray_knows_the_flags_of_its_containers() -> None:
    """and each asks for a token, which `ray start` does not by itself."""
    fleet = services("fleet.yaml")
    for name in ("head", "node-1", "node-2"):
        found = flags(fleet[name].entrypoint)
        assert found and found <= ray_options(), name
        assert fleet[name].environment["RAY_AUTH_MODE"] == "token"
        assert fleet[name].environment["RAY_AUTH_TOKEN_PATH"] == "/run/secrets/ray_token"
        assert "ray_token" in fleet[name].secrets


def test_several_on_one_network_choose_their_own_ports() -> None:
    """Ray's defaults are the same for each."""
    fleet = services("fleet.yaml")
    for name in ("head", "node-1", "node-2"):
        command = " ".join(fleet[name].entrypoint)
        assert "--min-worker-port=0" in command and "--max-worker-port=0" in command
    assert "--dashboard-agent-listen-port=0" in fleet["node-1"].entrypoint


@pytest.mark.parametrize("name", ["docker", "kuberay"])
def test_ray_takes_its_serve_config(name: str) -> None:
    """by Ray's own schema; what it imports is there, and makes an application."""
    schema = pytest.importorskip("ray.serve.schema", reason="Ray is not installed")
    from slipstream_fleet import ray_app

    config = serve_configs()[name]
    (application,) = schema.ServeDeploySchema.model_validate(config).applications
    assert application.name == ray_app.APP
    assert application.import_path == f"{ray_app.__name__}:{ray_app.serve_application.__name__}"
    assert ray_app.serve_application(application.args) is not None


@pytest.mark.parametrize("name", ["docker", "kuberay"])
def test_a_container_has_room_for_one_node_and_the_gate(name: str) -> None:
    """and for no second node, whose streams would share its processor."""
    cpus = fleet_config(name).cpus_per_node
    assert cpus + GATE_CPUS <= RAY_CPUS[name] < 2 * cpus


def test_the_containers_have_the_cpus_that_are_counted() -> None:
    assert f"--num-cpus={RAY_CPUS['docker']}" in services("fleet.yaml")["node-1"].entrypoint
    (workers,) = kuberay().ray_cluster_config.worker_group_specs
    (container,) = workers.template.spec.containers
    assert container.resources.limits["cpu"] == str(RAY_CPUS["kuberay"])


def test_there_are_machines_for_the_nodes() -> None:
    """one GPU each; as many machines as there may be nodes, and none that has two."""
    config = fleet_config("kuberay")
    (workers,) = kuberay().ray_cluster_config.worker_group_specs
    (container,) = workers.template.spec.containers
    assert (workers.min_replicas, workers.max_replicas) == (config.nodes, config.most_nodes)
    assert container.resources.limits["nvidia.com/gpu"] == f"{config.gpus_per_node:g}"
    nodes = [name for name in services("fleet.yaml") if name.startswith("node-")]
    assert len(nodes) == fleet_config("docker").nodes


def test_media_reaches_a_node_and_requests_the_gate() -> None:
    """the nodes have their machines' network; the port called `serve` is the gate's."""
    spec = kuberay()
    port = serve_configs()["kuberay"]["http_options"]["port"]
    (workers,) = spec.ray_cluster_config.worker_group_specs
    pod = workers.template.spec
    assert pod.host_network and pod.dns_policy == "ClusterFirstWithHostNet"
    assert pod.termination_grace_period_seconds > fleet_config("kuberay").drain_s
    for one in (spec.ray_cluster_config.head_group_spec.template.spec, pod):
        (container,) = one.containers
        assert [had.container_port for had in container.ports if had.name == "serve"] == [port]


def test_the_operator_has_ray_ask_for_a_token() -> None:
    """in the version that the project is tested with; no node runs on the head."""
    cluster = kuberay().ray_cluster_config
    with (ROOT / "pyproject.toml").open("rb") as file:
        (ray,) = tomllib.load(file)["project"]["optional-dependencies"]["fleet"]
    least = re.search(r">=([\d.]+)", ray)
    assert least is not None and cluster.ray_version.startswith(f"{least[1]}.")
    assert cluster.auth_options == {"mode": "token"}
    head = cluster.head_group_spec.ray_start_params
    assert head["num-cpus"] == "0"
    assert {f"--{name}" for name in head} <= ray_options()

"""Runs a fleet from the command line: starts or joins Ray, deploys, and waits."""

import contextlib
import logging
import os
import threading

from slipstream_server.config import ServerConfig
from slipstream_server.errors import ConfigError
from slipstream_server.http.roles import ALL_STREAMS, Role
from slipstream_server.http.token_issuer import make_issuer

from slipstream_fleet.fleet_config import FleetConfig

_OBJECT_STORE_BYTES = 80 << 20  # the least that Ray takes: nothing of ours goes through it
_LOOK_S = 2.0
# Serve kills a proxy that is not ready within three times this; its own 5 s are less than a proxy's
# imports take on a machine with much else to do, and a killed one is no sooner ready
_PROXY_READY_S = 60.0


def run_fleet(
    config: FleetConfig, settings: ServerConfig, *, address: str, stop: threading.Event
) -> int:
    """Serve until `stop` is set, or the application is gone; 0.

    Args:
        settings: of the gate: its address, certificate and token.
        address: of a cluster; a new one on this machine if empty.

    Raises:
        ConfigError: if the cluster cannot be had, or lacks what a node needs.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S", str(_PROXY_READY_S))
    import ray
    from ray import serve
    from ray.exceptions import RayError

    from slipstream_fleet.ray_app import APP, fleet_application

    _join(config, address)
    try:
        _check_resources(config, ray.cluster_resources(), is_fixed=bool(not address))
        tls = {}
        if settings.tls_cert:
            tls = {"ssl_certfile": settings.tls_cert, "ssl_keyfile": settings.tls_key}
        try:
            # waits 60 s for its proxies; where that is too short, run() waits for them again
            with contextlib.suppress(TimeoutError):
                serve.start(http_options={"host": settings.host, "port": settings.port, **tls})
            serve.run(fleet_application(config), name=APP, route_prefix="/", blocking=False)
        except (RuntimeError, TimeoutError, RayError) as error:
            raise ConfigError(
                f"the fleet did not start: {error}; the reason stands above, and in Ray's logs"
            ) from error
        print(f"Slipstream's fleet is at {_page_address(settings)}", flush=True)
        while not stop.wait(_LOOK_S):
            if APP not in serve.status().applications:
                break
        if not address:
            serve.shutdown()
    finally:
        ray.shutdown()
    return 0


def end_fleet(address: str) -> None:
    """End the fleet of a cluster.

    Raises:
        ConfigError: if there is no such cluster.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    import ray
    from ray import serve

    from slipstream_fleet.ray_app import APP

    try:
        ray.init(address=address, logging_level=logging.WARNING, log_to_driver=False)
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise ConfigError(f"there is no Ray cluster at {address!r}: {error}") from error
    try:
        serve.delete(APP)
    finally:
        ray.shutdown()


def _join(config: FleetConfig, address: str) -> None:
    import ray

    try:
        if address:
            ray.init(address=address, logging_level=logging.WARNING)
        else:
            ray.init(
                include_dashboard=False,
                object_store_memory=_OBJECT_STORE_BYTES,
                logging_level=logging.WARNING,
            )
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise ConfigError(f"Ray cannot be had at {address or 'this machine'!r}: {error}") from error


def _check_resources(config: FleetConfig, found: "dict[str, float]", *, is_fixed: bool) -> None:
    """Raise ConfigError where a cluster that does not grow lacks what the nodes need."""
    for name, each in (("CPU", config.cpus_per_node), ("GPU", config.gpus_per_node)):
        needed, there = config.nodes * each, found.get(name, 0.0)
        if is_fixed and needed > there:
            raise ConfigError(
                f"{config.nodes} nodes of {each:g} {name} need {needed:g}, this cluster has "
                f"{there:g}; start fewer, or say that each needs less (--{name.lower()}s-per-node)"
            )


def _page_address(settings: ServerConfig) -> str:
    scheme = "https" if settings.is_secure else "http"
    address = f"{scheme}://{settings.host}:{settings.port}/"
    if not settings.token:
        return address
    with contextlib.suppress(ValueError):
        link = make_issuer(settings.token).issue(Role.ADMIN, ALL_STREAMS).token
        return f"{address}?token={link}"
    return address

"""A fleet's settings, as flags of `slipstream fleet run` and as `args` of a Serve config. Pure."""

import msgspec
from slipstream_server.errors import ConfigError

from slipstream_fleet.scaling import ScalingRule

PORTS_PER_MACHINE = 100


class FleetConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a fleet is made of. Secrets are not among it: each machine has them in its environment
    or in files, as a single server has.

    Args:
        nodes: servers at the start, and for good where `most_nodes` is 0.
        most_nodes: up to which nodes are added and taken away by what is free; 0: never.
        spare_nodes: nodes' worth of places that are kept free then.
        down_delay_s: for how long fewer must be enough before one is taken away.
        gpus_per_node, cpus_per_node: that Ray keeps for each.
        first_port: of each machine: a node takes the first TCP port of the hundred from here on
            that is free for HTTP, and the port a hundred above it, UDP and TCP, for media.
        max_waiting: callers who may wait in the line of the whole fleet.
        drain_s: for how long the calls of a node that leaves may take to move.
        start_s: until a node must have been ready once; after that it is started anew.
        server: flags of each server, as `--preset wan-1.3b`.

    Raises:
        ConfigError: if a value is not allowed.
    """

    nodes: int = 1
    most_nodes: int = 0
    spare_nodes: int = 1
    down_delay_s: float = 600.0
    gpus_per_node: float = 0.0
    cpus_per_node: float = 1.0
    first_port: int = 8100
    max_waiting: int = 256
    drain_s: float = 15.0
    start_s: float = 900.0
    server: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name, low, high in (
            ("nodes", 1, 1024),
            ("most_nodes", 0, 1024),
            ("spare_nodes", 0, 1024),
            ("down_delay_s", 0, 86_400),
            ("gpus_per_node", 0, 64),
            ("cpus_per_node", 0, 1024),
            ("first_port", 1024, 65_535 - 2 * PORTS_PER_MACHINE),
            ("max_waiting", 0, 4096),
            ("drain_s", 1, 3600),
            ("start_s", 10, 86_400),
        ):
            value = getattr(self, name)
            if not low <= value <= high:
                raise ConfigError(f"{name} is {value}, it must be from {low} to {high}")
        if self.most_nodes and self.most_nodes < self.nodes:
            raise ConfigError(
                f"most_nodes is {self.most_nodes}, which is below nodes, {self.nodes}; raise it, "
                "or leave it out for a fleet that stays as it is"
            )
        taken = [flag for flag in self.server if flag.partition("=")[0] in _FLEETS_OWN]
        if taken:
            raise ConfigError(
                f"{', '.join(taken)} of a node is chosen by the fleet; leave it out of the "
                "server's flags"
            )

    @property
    def scaling(self) -> ScalingRule | None:
        """How the number of nodes follows the load; None where it does not."""
        if not self.most_nodes:
            return None
        return ScalingRule(
            least=self.nodes,
            most=self.most_nodes,
            spare=self.spare_nodes,
            down_delay_s=self.down_delay_s,
        )


_FLEETS_OWN = frozenset(
    (
        *("--host", "--port", "--tls", "--tls-cert", "--tls-key", "--media-port", "--media-ports"),
        *("--base-path", "--hand-over", "--drain-s", "--max-waiting", "--trusted-proxies"),
    )
)


def read_fleet_config(arguments: object) -> FleetConfig:
    """The settings in the `args` of a Serve config.

    Raises:
        ConfigError: if a key is unknown, or a value is not allowed.
    """
    try:
        return msgspec.convert(arguments, FleetConfig, strict=False)
    except msgspec.ValidationError as error:
        raise ConfigError(f"the fleet's settings: {error}") from error

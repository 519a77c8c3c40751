"""Which checks there are for given settings, in the order in which they build on each other."""

import functools
from collections.abc import Awaitable, Callable, Iterator

from slipstream_server.config import ServerConfig
from slipstream_server.doctor import engine as engines
from slipstream_server.doctor import machine, media, network, reach, relays
from slipstream_server.doctor.finding import Check, Finding
from slipstream_server.ice.gathering import ice_servers
from slipstream_server.ice.turn_providers import configured_providers

_QUICK_S = 10.0
_CALL_S = 20.0
_INSPECT_S = 60.0  # importing torch from a cold disk
_ENGINE_S = 90.0
_REAL_ENGINE_S = 600.0  # reading and warming up tens of gigabytes
_ENGINE_LATE = "its log above says how far it came; a slow disk or too little memory is likely"


def checks_for(config: ServerConfig, *, now_s: int, engine: bool) -> Iterator[Check]:
    """All but those of the installation.

    Args:
        now_s: the wall clock, which TURN credentials end by.
        engine: whether the engine is asked and started too.
    """

    def check(
        name: str, run: Callable[[ServerConfig], Awaitable[Finding]], deadline_s: float = _QUICK_S
    ) -> Check:
        return Check(name=name, run=functools.partial(run, config), deadline_s=deadline_s)

    yield Check(name="clock", run=machine.check_clock, deadline_s=_QUICK_S)
    yield check("memory", machine.check_memory)
    yield check("shared memory", machine.check_shared_memory)
    yield check("open files", machine.check_open_files)
    yield check("port", network.check_port)
    yield check("page", network.check_page)
    if config.is_secure:
        yield check("tls", network.check_tls)
    yield check("udp", network.check_udp)
    if config.media_ports:
        yield check("media ports", reach.check_media_ports)
    for server in ice_servers(config, name="doctor", now_s=now_s):
        if server.urls.startswith("stun"):
            ask = functools.partial(relays.check_stun, server)
        else:
            ask = functools.partial(relays.check_turn, server, minted=bool(config.turn_secret))
        yield Check(name=server.urls.partition(":")[0], run=ask, deadline_s=_QUICK_S)
    for provider in configured_providers(config):
        ask = functools.partial(reach.check_hosted, provider)
        yield Check(name="relays", run=ask, deadline_s=_CALL_S)
    yield Check(name="codecs", run=media.check_codecs, deadline_s=_CALL_S)
    yield check("nvenc", media.check_nvenc)
    yield Check(name="call", run=media.check_call, deadline_s=_CALL_S)
    if engine:
        yield from _engine_checks(config)


def _engine_checks(config: ServerConfig) -> Iterator[Check]:
    is_small = config.pipeline == "echo" or config.preset == "tiny"
    if config.pipeline != "echo":
        asked = engines.EngineChecks(config)
        yield Check(name="device", run=asked.check_device, deadline_s=_INSPECT_S)
        yield Check(name="weights", run=asked.check_weights, deadline_s=_INSPECT_S)
    yield Check(
        name="engine",
        run=functools.partial(engines.check_engine, config),
        deadline_s=_ENGINE_S if is_small else _REAL_ENGINE_S,
        late=_ENGINE_LATE,
    )

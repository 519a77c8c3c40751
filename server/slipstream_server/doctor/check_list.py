"""The checks for given settings, each after those that it depends on."""

import functools
from collections.abc import Awaitable, Callable, Iterator

from slipstream_server.config import ServerConfig
from slipstream_server.doctor import engine as engine_checks
from slipstream_server.doctor import machine, media, media_ports, network, sandbox, stun_turn
from slipstream_server.doctor.finding import Check, Finding
from slipstream_server.ice.ice_servers import ice_servers
from slipstream_server.ice.turn_providers import configured_providers

_QUICK_S = 10.0
_CALL_S = 20.0
_INSPECT_S = 60.0  # importing torch from a cold disk
_ENGINE_S = 90.0
_REAL_ENGINE_S = 600.0  # reading and warming up tens of gigabytes
_ENGINE_LATE = "its log above says how far it came; a slow disk or too little memory is likely"


def checks_for(config: ServerConfig, *, now_s: int, engine: bool) -> Iterator[Check]:
    """All checks but those of the installation.

    Args:
        now_s: the wall clock, in seconds since 1970; TURN credentials expire by it.
        engine: whether the engine is inspected and started too.
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
    if config.media_port:
        yield check("media port", media_ports.check_media_port)
    if config.media_ports:
        yield check("media ports", media_ports.check_media_ports)
    for server in ice_servers(config, name="doctor", now_s=now_s):
        if server.urls.startswith("stun"):
            run = functools.partial(stun_turn.check_stun, server)
        else:
            run = functools.partial(stun_turn.check_turn, server, minted=bool(config.turn_secret))
        yield Check(name=server.urls.partition(":")[0], run=run, deadline_s=_QUICK_S)
    for provider in configured_providers(config):
        run = functools.partial(stun_turn.check_turn_provider, provider)
        yield Check(name="relays", run=run, deadline_s=_CALL_S)
    yield Check(name="codecs", run=media.check_codecs, deadline_s=_CALL_S)
    yield check("nvenc", media.check_nvenc)
    yield Check(name="call", run=media.check_call, deadline_s=_CALL_S)
    if engine:
        yield from _engine_checks(config)


def _engine_checks(config: ServerConfig) -> Iterator[Check]:
    is_small = config.pipeline == "echo" or config.preset == "tiny"
    yield Check(name="sandbox", run=sandbox.check_sandbox, deadline_s=_QUICK_S)
    if config.pipeline != "echo":
        inspected = engine_checks.EngineChecks(config)
        yield Check(name="device", run=inspected.check_device, deadline_s=_INSPECT_S)
        if config.devices:
            yield Check(name="ranks", run=inspected.check_ranks, deadline_s=_INSPECT_S)
        yield Check(name="weights", run=inspected.check_weights, deadline_s=_INSPECT_S)
    yield Check(
        name="engine",
        run=functools.partial(engine_checks.check_engine, config),
        deadline_s=_ENGINE_S if is_small else _REAL_ENGINE_S,
        late=_ENGINE_LATE,
    )

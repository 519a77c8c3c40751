"""The command `slipstream [serve]`: settings, signals, and the addresses it prints."""

import asyncio
import contextlib
import logging
import os
import signal
import sys
from collections.abc import Mapping, Sequence

from slipstream_server.app import serve
from slipstream_server.config import ServerConfig
from slipstream_server.config_sources import read_config
from slipstream_server.engine.child_process import background
from slipstream_server.errors import ConfigError, PortBusy
from slipstream_server.http.addresses import page_addresses
from slipstream_server.http.certificates import Certificate
from slipstream_server.http.roles import ALL_STREAMS, Role
from slipstream_server.http.served_certificate import ServedCertificate
from slipstream_server.http.tls_listener import certificate_for
from slipstream_server.http.token_issuer import make_issuer
from slipstream_server.logs.set_up import announce, logging_to_stderr
from slipstream_server.process import collect_calls_alone, run_process
from slipstream_server.service_manager import ServiceManager
from slipstream_server.sessions.opener import session_id
from slipstream_server.shutdown import Shutdown

logger = logging.getLogger(__name__)

_STDIN = 0


async def run(
    config: ServerConfig, certificate: Certificate | None, manager: ServiceManager
) -> None:
    """Serve until a signal asks for the end (see `Shutdown`), or the terminal is closed that it
    runs in.

    Those are handled even if the process has inherited that SIGINT is ignored, as a shell's
    background jobs do: the signal is sent to stop the server. SIGHUP has the certificate read
    again. SIGUSR1 and SIGUSR2, by which other servers open their logs anew or replace themselves,
    are ignored, here and by the engine.
    """
    shutdown = Shutdown()
    loop = asyncio.get_running_loop()
    served = _served(config, certificate) if certificate is not None else None
    has_terminal = os.isatty(_STDIN)

    def on_hang_up() -> None:
        if has_terminal and not os.isatty(_STDIN):
            shutdown.on_signal(signal.SIGTERM)
        elif served is not None:
            served.read_again()
        else:
            logger.info("SIGHUP: without https there is no certificate to read again")

    for number in (signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(number, signal.SIG_IGN)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGQUIT):
        loop.add_signal_handler(number, shutdown.on_signal, number)
    loop.add_signal_handler(signal.SIGHUP, on_hang_up)

    def started(port: int) -> None:
        collect_calls_alone()
        manager.ready()
        # logs keep what is printed: this lets nobody in tomorrow, as the server's own token would
        link = (
            make_issuer(config.token).issue(Role.ADMIN, ALL_STREAMS).token if config.token else ""
        )
        addresses = page_addresses(config, port, secure=certificate is not None, token=link)
        text = "Slipstream is at " + "\n             and ".join(addresses)
        if link:
            text += (
                "\nThat link opens the page for a day; ?token= and the server's token always do."
            )
        if certificate is not None and certificate.self_signed:
            text += (
                "\nBrowsers warn of its certificate, which nobody else has signed. It is the right "
                f"one if its SHA-256 fingerprint is\n  {certificate.fingerprint}"
            )
        announce(text)

    async with contextlib.AsyncExitStack() as beside:
        works = {
            "watchdog": manager.feed_watchdog(),
            "stop notice": _announce_stop(shutdown, manager, config.drain_s),
        }
        if served is not None:
            works["certificate"] = served.keep_current()
        for name, work in works.items():
            await beside.enter_async_context(background(work, name=name))
        tls = served.context if served is not None else None
        await serve(config, tls=tls, shutdown=shutdown, started=started)


async def _announce_stop(shutdown: Shutdown, manager: ServiceManager, drain_s: float) -> None:
    await shutdown.requested.wait()
    manager.stopping(drain_s)


def _served(config: ServerConfig, certificate: Certificate) -> ServedCertificate:
    def read() -> Certificate:
        found = certificate_for(config)
        assert found is not None, "https was served before"
        return found

    return ServedCertificate(certificate, read, renews=config.tls == "self-signed")


def _run_logged(config: ServerConfig, manager: ServiceManager) -> int:
    """Run the server; the traceback of what ends it goes to the log, which nobody waits for."""
    try:
        run_process(run(config, certificate_for(config), manager))
    except (ConfigError, PortBusy):
        raise
    except Exception:
        logger.exception("the server has failed")
        return 1
    return 0


def serve_command(argv: Sequence[str], environment: Mapping[str, str]) -> int:
    """Serve until asked to stop; 1 and a reason on stderr where that is not possible.

    Args:
        argv: the command line after `serve`.
        environment: of the process; SLIPSTREAM_* variables are read, and those of systemd.
    """
    try:
        config = read_config(argv, environment)
        with logging_to_stderr(config.log_level, form=config.log_format, session_id=session_id.get):
            return _run_logged(config, ServiceManager(environment))
    except (ConfigError, PortBusy) as error:
        print(f"slipstream: {error}", file=sys.stderr)
        return 1

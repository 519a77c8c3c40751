"""The command `slipstream`: settings, logging, loop, signals. Only here os.environ is read."""

import asyncio
import logging
import os
import signal
import sys
from collections.abc import Sequence

from slipstream_server.addresses import page_addresses
from slipstream_server.app import serve
from slipstream_server.certificate import Certificate
from slipstream_server.config import ServerConfig, read_config
from slipstream_server.errors import ConfigError, PortBusy
from slipstream_server.sessions import session_id
from slipstream_server.tls import certificate_for

logger = logging.getLogger("slipstream_server")

# A frame crosses four threads on its way; at Python's own 5 ms each of them may hold it up.
_SWITCH_S = 0.0005


class _SessionFilter(logging.Filter):
    """Puts the session's id into every record."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.session = session_id.get()
        return True


def set_up_logging(level: str) -> None:
    """Our records at `level`, the libraries' from warnings on; the engine's lines as they are."""
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(_SessionFilter())
    handler.setFormatter(
        logging.Formatter("%(asctime)s server %(levelname)s [%(session)s] %(name)s: %(message)s")
    )
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
    logger.setLevel(level.upper())
    relayed = logging.StreamHandler(sys.stderr)
    relayed.setFormatter(logging.Formatter("%(message)s"))
    engine = logging.getLogger("slipstream_engine")
    engine.addHandler(relayed)
    engine.propagate = False
    engine.setLevel(level.upper())


async def run(config: ServerConfig, certificate: Certificate | None) -> None:
    """Serve until the process is asked to stop."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)

    def started(port: int) -> None:
        addresses = page_addresses(config, port, secure=certificate is not None)
        print("Slipstream is at " + "\n             and ".join(addresses), flush=True)
        if certificate is not None and certificate.self_signed:
            print(
                "Browsers warn of its certificate, which nobody else has signed. It is the right "
                f"one if its SHA-256 fingerprint is\n  {certificate.fingerprint}",
                flush=True,
            )

    tls = certificate.context() if certificate is not None else None
    await serve(config, tls=tls, stop=stop, started=started)


def _new_loop() -> asyncio.AbstractEventLoop:
    """uvloop's where it can be had: half the tail of the latency under load."""
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()


def main(argv: Sequence[str] | None = None) -> int:
    sys.setswitchinterval(_SWITCH_S)
    arguments = sys.argv[1:] if argv is None else list(argv)
    if arguments[:1] == ["serve"]:
        arguments = arguments[1:]
    try:
        config = read_config(arguments, os.environ)
        set_up_logging(config.log_level)
        with asyncio.Runner(loop_factory=_new_loop) as runner:
            runner.run(run(config, certificate_for(config)))
    except (ConfigError, PortBusy) as error:
        print(f"slipstream: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""What systemd is told of this process, by sd_notify(3): one datagram a message.

Without systemd, or another service manager that speaks its protocol, nothing is sent.
"""

import asyncio
import logging
import os
import socket
from collections.abc import Mapping

logger = logging.getLogger(__name__)

_STOP_S = 20.0  # after the drain: calls are told, the engine finishes its pass
_US_PER_S = 1_000_000


class ServiceManager:
    """Sends messages to the service manager that started this process, if one did.

    Args:
        environment: of the process; `NOTIFY_SOCKET`, `WATCHDOG_USEC` and `WATCHDOG_PID` are read.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        address = environment.get("NOTIFY_SOCKET", "")
        # an @ stands for the zero byte that an abstract address begins with
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self._watchdog_s = _watchdog_s(environment, os.getpid())

    def ready(self) -> None:
        """The server listens; `/ready` says when it takes calls."""
        self._send("READY=1")

    def stopping(self, drain_s: float) -> None:
        """The server ends within `drain_s` and a little: it is not to be killed before."""
        extended_us = round((drain_s + _STOP_S) * _US_PER_S)
        self._send(f"STOPPING=1\nEXTEND_TIMEOUT_USEC={extended_us}")

    async def feed_watchdog(self) -> None:
        """Report life for as long as the event loop turns, if a watchdog waits for it."""
        while self._watchdog_s > 0:
            self._send("WATCHDOG=1")
            await asyncio.sleep(self._watchdog_s / 3)

    def _send(self, message: str) -> None:
        if not self._address:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
                sock.setblocking(False)
                sock.sendto(message.encode(), self._address)
        except OSError as error:  # to be killed for it later is the worst that follows
            logger.warning("the service manager was not told %r: %s", message, error)


def _watchdog_s(environment: Mapping[str, str], pid: int) -> float:
    """How long the watchdog waits for a sign of life; 0 if none waits for this process."""
    us, watched = environment.get("WATCHDOG_USEC", ""), environment.get("WATCHDOG_PID", str(pid))
    if not us.isdecimal() or watched != str(pid):
        return 0.0
    return int(us) / _US_PER_S

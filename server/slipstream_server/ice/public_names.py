"""Looks up the host names among the public addresses, at the start and again: they change.

Calls never wait for it: their answers carry what is known.
"""

import asyncio
import logging
import socket

from slipstream_server.media_addressing import PublicAddresses

logger = logging.getLogger(__name__)

_ANSWER_S = 5.0
_RENEW_S = 60.0  # how long names of changing addresses live at the providers that give them


async def look_up(public: PublicAddresses) -> None:
    """Look up every name once, within five seconds; one without an answer keeps what it was."""
    async with asyncio.TaskGroup() as tasks:
        for name in public.names:
            tasks.create_task(_look_up(public, name), name=f"look up {name}")


async def keep_looking_up(public: PublicAddresses) -> None:
    """Look up every name again each minute, until cancelled; without names there is nothing."""
    while public.names:
        await asyncio.sleep(_RENEW_S)
        await look_up(public)


async def _look_up(public: PublicAddresses, name: str) -> None:
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(_ANSWER_S):
            found = await loop.getaddrinfo(name, None, type=socket.SOCK_DGRAM)
    except (OSError, UnicodeError, TimeoutError) as error:
        logger.warning(
            "public_ip %s is not found: %s; calls go on without it, it is looked up again",
            name,
            error or type(error).__name__,
        )
        return
    addresses = [str(address[0]).partition("%")[0] for *_, address in found]
    if public.learn(name, addresses):
        logger.info("public_ip %s is %s", name, ", ".join(dict.fromkeys(addresses)))

"""Whether the other side of a call is still there, asked now.

A peer that has vanished says nothing, and a slow source says nothing for a while either. ICE tells
them apart: an agent answers a binding request as long as it lives (RFC 7675, section 5.1). aioice
asks every five seconds, which is too slow for a publisher who comes back at once.

Private names of aioice's connection: `_nominated` is read, `build_request` called.
"""

import asyncio
from typing import Any

from aioice.stun import TransactionError, TransactionFailed

_REQUESTS = 3  # any of them may be lost
_APART_S = 0.15


async def is_reachable(connection: Any) -> bool:
    """Whether a connection that stands is answered, within 0.8 s.

    Args:
        connection: of aioice.
    """
    pairs = list(connection._nominated.values())
    if not pairs:
        return False
    requests = [
        asyncio.create_task(_ask(connection, pairs[0], index * _APART_S), name="ask the peer")
        for index in range(_REQUESTS)
    ]
    try:
        for answer in asyncio.as_completed(requests):
            if await answer:
                return True
        return False
    finally:
        for request in requests:
            request.cancel()


async def _ask(connection: Any, pair: Any, after_s: float) -> bool:
    await asyncio.sleep(after_s)
    try:
        await pair.protocol.request(
            connection.build_request(pair, nominate=False),
            pair.remote_addr,
            integrity_key=connection.remote_password.encode(),
            retransmissions=0,
        )
    except TransactionFailed:  # an answer too
        return True
    except (TransactionError, OSError):
        return False
    return True

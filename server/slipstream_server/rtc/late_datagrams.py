"""Datagrams that SCTP sends after its transport has closed: they are lost, as on any network.

aiortc sends again from a timer, in a task that nobody awaits: at a transport that has closed since,
that would end in an error which nobody retrieves. Private name of `RTCSctpTransport`: `_send_chunk`
is wrapped.
"""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

from aiortc import RTCSctpTransport

from slipstream_server.rtp.aiortc_internals import get_private, replace_private


def lose_late_datagrams(sctp: RTCSctpTransport) -> None:
    """From now on nothing is raised by what is sent after the end of a call.

    Raises:
        InternalsChanged: if this aiortc is not built as we know it.
    """
    send: Callable[[Any], Awaitable[None]] = get_private(sctp, "_send_chunk")

    async def send_or_lose(chunk: Any) -> None:
        with suppress(ConnectionError):
            await send(chunk)

    replace_private(sctp, "_send_chunk", send_or_lose)

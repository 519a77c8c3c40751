"""A benchmark's caller: the probe's call, with a script that may change parameters during it."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from slipstream_protocol.clock import NS_PER_S
from slipstream_protocol.frames import I420
from slipstream_server.probe.caller import Send, placed_call
from slipstream_server.probe.offers import ProbeTarget
from slipstream_server.probe.record import CallRecord


async def place_call(
    address: str,
    pictures: list[I420],
    *,
    fps: int,
    seconds: float,
    script: Callable[[Send], Awaitable[None]] | None = None,
) -> CallRecord:
    """Call the server at `address`, hang up `seconds` after the first frame, return the record.

    Args:
        script: may send parameters while the call is up.

    Raises:
        CallFailed: if the server refuses the call or ends it, or no picture comes.
    """
    async with placed_call(ProbeTarget(url=address), pictures, fps=fps) as (call, send):
        await call.until_first_frame()
        running = asyncio.ensure_future(script(send)) if script is not None else None
        await asyncio.wait((call.ended,), timeout=seconds)
        if running is not None:
            await running
        call.check_goes_on()
    return call.record


def events(record: CallRecord) -> list[tuple[float, dict[str, Any]]]:
    """What the server said, each with the seconds since the offer."""
    return [
        ((message.at_ns - record.offered_ns) / NS_PER_S, msgspec.json.decode(message.text))
        for message in record.messages
    ]

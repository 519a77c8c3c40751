"""What a data channel sends after the transport below it has closed."""

import asyncio
import gc
from typing import Any

import pytest
from aiortc import RTCConfiguration, RTCPeerConnection
from slipstream_server.ice.gathering import bound_gathering
from slipstream_server.media_addressing import MediaAddressing
from slipstream_server.rtc.late_datagrams import lose_late_datagrams


@pytest.mark.parametrize("is_lost", [True, False])
async def test_it_is_lost_and_no_error_is_left(is_lost: bool) -> None:
    """neither by what is sent then, nor by its timers; aiortc alone leaves one."""
    loop, unhandled = asyncio.get_running_loop(), list[dict[str, Any]]()
    loop.set_exception_handler(lambda loop, context: unhandled.append(context))
    ours, theirs = (RTCPeerConnection(RTCConfiguration(iceServers=[])) for _ in range(2))
    try:
        channel = ours.createDataChannel("late")
        is_open = asyncio.Event()
        channel.on("open", is_open.set)
        assert ours.sctp is not None
        if is_lost:
            lose_late_datagrams(ours.sctp)
        bound_gathering(ours, media_addressing=MediaAddressing(loopback=True))
        await ours.setLocalDescription(await ours.createOffer())
        await theirs.setRemoteDescription(ours.localDescription)
        bound_gathering(theirs, media_addressing=MediaAddressing(loopback=True))
        await theirs.setLocalDescription(await theirs.createAnswer())
        await ours.setRemoteDescription(theirs.localDescription)
        async with asyncio.timeout(20):
            await is_open.wait()
        await ours.sctp.transport.stop()
        channel.send("too late")
        for _ in range(5):  # the task that sends it
            await asyncio.sleep(0)
    finally:
        await asyncio.gather(ours.close(), theirs.close())
    gc.collect()
    assert (unhandled == []) is is_lost

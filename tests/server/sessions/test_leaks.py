"""Callers come and go in every way, and the server holds what it held before."""

import asyncio
import itertools
import os
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from prometheus_client.parser import text_string_to_metric_families
from slipstream_server.ice.gathering import bound_gathering
from slipstream_server.media_addressing import MediaAddressing

from tests.server.calls import OFFER_PATH, Camera, dial
from tests.server.command import health, slipstream
from tests.server.whips import posted

WARM_UP = 40  # callers after which allocators, pools and caches have their size
CONNECTS = 80
STOPS = 8
AT_ONCE = 11
GONE_S = 60.0  # a caller who never finished is given up after 20 s
STEP_S = 0.2
# measured: 10 to 19 MB, which is what malloc keeps. A call that stayed whole would cost a megabyte
# and more.
GROWTH_MAX_BYTES = 40 << 20
FLAGS = ("--max-streams", "64", "--max-viewers", "16", "--hold-s", "0", "--size", "64x48")


@dataclass(frozen=True, kw_only=True)
class Held:
    """What a server process holds."""

    descriptors: int
    tasks: int
    threads: int
    memory_bytes: int


def small_camera() -> Camera:
    return Camera(fps=10, width_px=64, height_px=48)


async def hang_up_by_request(http: aiohttp.ClientSession) -> None:
    async with dial(http, camera=small_camera()) as call:
        await call.until_frames(1)
        async with http.delete(f"{OFFER_PATH}/{call.id}") as response:
            assert response.status == 204


async def hang_up_by_goodbye(http: aiohttp.ClientSession) -> None:
    """DTLS closes."""
    async with dial(http, camera=small_camera()) as call:
        await call.until_frames(1)


async def vanish(http: aiohttp.ClientSession) -> None:
    """The cable is pulled."""
    async with dial(http, camera=small_camera()) as call:
        await call.until_frames(1)
        call.fall_silent()


async def watch(http: aiohttp.ClientSession) -> None:
    """Another one's stream, which ends first."""
    async with dial(http, camera=small_camera()) as call:
        await call.until_frames(1)
        async with dial(http, watch=True, view=call.stream) as subscriber:
            await subscriber.until_frames(1)
            async with http.delete(f"{OFFER_PATH}/{call.id}") as response:
                assert response.status == 204


async def publish(http: aiohttp.ClientSession) -> None:
    """By WHIP, watched by WHEP; the publisher ends it."""
    name = f"/whip/{secrets.token_hex(4)}"
    async with posted(http, name, camera=small_camera()) as publisher:
        assert publisher.status == 201, publisher.error
        async with posted(http, name.replace("whip", "whep")) as viewer:
            await viewer.until_frames(1)
            async with http.delete(publisher.location) as response:
                assert response.status == 200


async def publish_and_vanish(http: aiohttp.ClientSession) -> None:
    """A viewer who leaves without a word, then the cable of the publisher."""
    async with posted(http, "/whip", camera=small_camera()) as publisher:
        assert publisher.status == 201, publisher.error
        _, _, name, _ = publisher.location.split("/")
        async with posted(http, f"/whep/{name}") as viewer:
            await viewer.until_frames(1)
        publisher.fall_silent()


async def be_refused(http: aiohttp.ClientSession) -> None:
    """At several depths: no SDP, no codec in common, nothing to watch."""
    pc = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    pc.addTransceiver("video")
    sdp = (await pc.createOffer()).sdp
    await pc.close()
    strange = sdp.replace("VP8/90000", "XX8/90000").replace("H264/90000", "YY/90000")
    for text, view in (("hello", None), (strange, None), (sdp.replace("a=mid:0\r\n", ""), None)):
        body = {"sdp": text, "type": "offer", "view": view}
        async with http.post(OFFER_PATH, json=body) as response:
            assert response.status == (406 if text is strange else 400)


async def never_connect(http: aiohttp.ClientSession) -> None:
    """An answer nobody makes use of."""
    pc = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    pc.addTransceiver("video")
    sdp = (await pc.createOffer()).sdp
    await pc.close()
    async with http.post(OFFER_PATH, json={"sdp": sdp, "type": "offer"}) as response:
        id = (await response.json())["sessionId"]
    async with http.delete(f"{OFFER_PATH}/{id}") as response:
        assert response.status == 204


async def stop_before_dtls(http: aiohttp.ClientSession) -> None:
    """ICE finds a way, and then nothing comes; the server has to give up by itself."""

    over = asyncio.Event()

    async def never(parameters: Any) -> None:
        await over.wait()

    pc = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    try:
        pc.addTrack(small_camera())
        bound_gathering(pc, media_addressing=MediaAddressing(loopback=True))
        await pc.setLocalDescription()
        transport: Any = pc.getSenders()[0].transport
        transport.start = never
        offer = {"sdp": pc.localDescription.sdp, "type": "offer"}
        async with http.post(OFFER_PATH, json=offer) as response:
            answer = await response.json()
        await pc.setRemoteDescription(RTCSessionDescription(answer["sdp"], answer["type"]))
        for _ in range(100):
            if pc.iceConnectionState == "completed":
                break
            await asyncio.sleep(0.05)
        assert pc.iceConnectionState == "completed"
    finally:
        over.set()
        await pc.close()


WAYS: tuple[Callable[[aiohttp.ClientSession], Awaitable[None]], ...] = (
    hang_up_by_request,
    hang_up_by_goodbye,
    be_refused,
    never_connect,
    watch,
    vanish,
    publish,
    publish_and_vanish,
    be_refused,
    never_connect,
)


async def dial_and_hang_up(http: aiohttp.ClientSession, count: int, *, stops: int = 0) -> None:
    """`count` callers, some at a time, each in the next way, after those who stop before DTLS: the
    time after which the server gives those up passes meanwhile."""
    ways = itertools.chain(
        itertools.repeat(stop_before_dtls, stops), itertools.islice(itertools.cycle(WAYS), count)
    )

    async def callers() -> None:
        for way in ways:
            await way(http)

    async with asyncio.TaskGroup() as tasks:
        for number in range(AT_ONCE):
            tasks.create_task(callers(), name=f"callers {number}")


async def held(http: aiohttp.ClientSession) -> Held:
    """Once every call is over."""
    async with asyncio.timeout(GONE_S):
        while True:
            async with http.get("/health") as response:
                now = await response.json()
            if not (now["sessions"] or now["viewers"]):
                break
            await asyncio.sleep(STEP_S)
    async with http.get("/metrics") as response:
        text = await response.text()
    values = {
        sample.name: sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if not sample.labels
    }
    return Held(
        descriptors=int(values["process_open_fds"]),
        tasks=int(values["slipstream_tasks"]),
        threads=int(values["slipstream_threads"]),
        memory_bytes=int(values["process_resident_memory_bytes"]),
    )


@pytest.mark.slow
@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="needs /proc to count")
async def test_nothing_is_left_of_callers(tmp_path: Path) -> None:
    """clean hang-ups, pulled cables, refusals, half-made connections: sockets, tasks and threads
    are as many as before, and memory has grown by no more than malloc keeps."""
    async with (
        slipstream(*FLAGS, "--offers-per-minute", "0", log=tmp_path / "log") as (_, address),
        aiohttp.ClientSession(address) as http,
    ):
        await health(address)
        await dial_and_hang_up(http, WARM_UP)
        before = await held(http)
        await dial_and_hang_up(http, CONNECTS, stops=STOPS)
        after = await held(http)
    log = (tmp_path / "log").read_text()
    assert "never retrieved" not in log and " ERROR " not in log
    assert after.descriptors <= before.descriptors
    assert after.tasks <= before.tasks
    assert after.threads <= before.threads
    assert after.memory_bytes - before.memory_bytes < GROWTH_MAX_BYTES

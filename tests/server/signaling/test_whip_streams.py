"""Publishers whose video comes as no browser sends it: in layers, without its parameter sets."""

import asyncio
import base64
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from tests.server.calls import number_of
from tests.server.raw_video import FPS, Encoder, RawVideo, Silence
from tests.server.serving import poll, serving
from tests.server.whips import WhipCall, posted

LAYERS = {"h": (640, 480), "m": (320, 240), "l": (160, 120)}
LAYER_ID = 9
SPS, PPS = 7, 8


def in_layers(sdp: str) -> str:
    """The offer as OBS 32 words it."""
    lines = [f"a=extmap:{LAYER_ID} urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id"]
    lines += [f"a=rid:{name} send" for name in LAYERS]
    lines += [f"a=simulcast:send {';'.join(LAYERS)}"]
    sdp = re.sub(r"a=ssrc[^\r\n]*\r\n", "", sdp)
    return sdp + "".join(f"{line}\r\n" for line in lines)


@asynccontextmanager
async def sending(send: Callable[[int], object]) -> AsyncIterator[None]:
    """Send pictures 0, 1, 2 ... at their rate, as long as the block lasts."""

    async def run() -> None:
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        number = 0
        while True:
            await asyncio.sleep(began_s + number / FPS - loop.time())
            await send(number)  # type: ignore[misc]
            number += 1

    task = asyncio.create_task(run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def numbers(call: WhipCall) -> list[int]:
    """Of the pictures that were received, where they can be read."""
    return [number for frame in call.frames if (number := number_of(frame)) is not None]


async def test_one_layer_of_simulcast_is_shown_and_replaced_where_it_stops(tmp_path: Path) -> None:
    """the answer names them all; what a viewer sees goes on, though the layers' clocks differ."""
    async with (
        serving(tmp_path) as server,
        posted(server.client, "/whip/stage", camera=Silence(), edit=in_layers) as call,
    ):
        assert "a=simulcast:recv h;m;l" in call.answer_sdp
        await poll(lambda: call.pc.connectionState == "connected")
        encoders = {name: Encoder(*size) for name, size in LAYERS.items()}
        videos = {
            name: RawVideo(call, ssrc=1000 + at, began=at * 1_500_000_000, layer=(LAYER_ID, name))
            for at, name in enumerate(LAYERS)
        }
        live = set(LAYERS)

        async def send(number: int) -> None:
            for name in LAYERS:
                video = videos[name]
                units = encoders[name].encode(number, key=number == 0 or video.needs_key)
                video.needs_key = False
                if name in live:
                    await video.send(number, units)

        async with sending(send), posted(server.client, "/whep/stage") as viewer:
            await viewer.until_frames(30)
            live.remove("h")
            last = numbers(viewer)[-1]
            await viewer.until(lambda: numbers(viewer)[-1] > last + 60)
            live.add("h")
            last = numbers(viewer)[-1]
            await viewer.until(lambda: numbers(viewer)[-1] > last + 60)
    shown = numbers(viewer)
    assert shown == sorted(set(shown))
    assert len(shown) > 30


async def test_parameter_sets_only_in_the_sdp(tmp_path: Path) -> None:
    """the first key frame is lost, as OBS's is; the next is requested, and comes without them."""
    encoder = Encoder(640, 480)
    first = encoder.encode(0, key=True)
    given = {unit[0] & 0x1F: unit for unit in first}
    sprop = ",".join(base64.b64encode(given[kind]).decode() for kind in (SPS, PPS))

    def with_sets(sdp: str) -> str:
        return re.sub(
            r"(a=fmtp:\d+ [^\r\n]*profile-level-id[^\r\n]*)",
            rf"\1;sprop-parameter-sets={sprop}",
            sdp,
        )

    async with (
        serving(tmp_path) as server,
        posted(server.client, "/whip/stage", camera=Silence(), edit=with_sets) as call,
    ):
        await poll(lambda: call.pc.connectionState == "connected")
        video = RawVideo(call, ssrc=1000, began=0)
        keys: list[int] = []

        async def send(number: int) -> None:
            key, video.needs_key = video.needs_key, False
            keys.extend([number] * key)
            units = encoder.encode(number + 1, key=key)
            await video.send(number, [unit for unit in units if unit[0] & 0x1F in (1, 5)])

        async with sending(send), posted(server.client, "/whep/stage") as viewer:
            await viewer.until_frames(20)
    assert numbers(viewer)[0] <= keys[0] + FPS
    assert len(numbers(viewer)) > 10

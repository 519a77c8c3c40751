"""Publishers of few pictures: a slide, a dark room, a window in which nothing moves."""

import asyncio
from pathlib import Path
from typing import Any
from unittest.mock import AsyncMock

import pytest
from av import VideoFrame
from slipstream_server.rtp.aiortc_internals import replace_private
from slipstream_server.sessions.session import PEER_SILENCE_MAX_S

from tests.server.calls import Call, Camera, dial, number_of
from tests.server.serving import serving
from tests.server.whips import posted, publishing

AT_ONCE = 7


class Slide(Camera):
    """A few pictures, and then no other."""

    async def recv(self) -> VideoFrame:
        if self._number == AT_ONCE:
            await asyncio.Event().wait()
        return await super().recv()


def since_input_ms(call: Call) -> float:
    """As the newest figures say; 0 before the first."""
    slo = [event for event in call.events if event["type"] == "slo"]
    return float(slo[-1]["since_input_ms"] or 0) if slo else 0.0


@pytest.mark.parametrize("codec", ["H264", "VP8"])
async def test_one_picture_a_second_is_shown(tmp_path: Path, codec: str) -> None:
    """each of them, in its order, though a chunk holds four."""
    async with (
        serving(tmp_path) as server,
        posted(server.client, "/whip/stage", camera=Camera(fps=1), codec=codec) as publisher,
        posted(server.client, "/whep/stage") as viewer,
    ):
        assert (publisher.status, viewer.status) == (201, 201), publisher.error + viewer.error
        await viewer.until_frames(3)
        numbers = [number_of(frame) for frame in viewer.frames]
        first = numbers[0]
        assert first is not None
        assert numbers == list(range(first, first + len(numbers)))


async def test_whoever_comes_to_a_still_picture_sees_it(tmp_path: Path) -> None:
    """its publisher has sent nothing since before the viewer came; what waited for more of it to
    fill a chunk is shown as well."""
    async with serving(tmp_path) as server, dial(server.client, camera=Slide()) as publisher:
        last = AT_ONCE - 1
        await publisher.until(lambda: last in map(number_of, publisher.frames[-1:]))
        async with posted(server.client, f"/whep/{publisher.stream}") as viewer:
            await viewer.until_frames(1)
            assert number_of(viewer.frames[0]) == last


async def test_a_publisher_without_a_picture_is_not_given_up(tmp_path: Path) -> None:
    """nothing at all comes of it for longer than a page may be silent; its call goes on, and those
    who watch are told for how long nothing has come."""
    async with (
        serving(tmp_path) as server,
        publishing(server) as publisher,
        dial(server.client, watch=True, view="stage") as viewer,
    ):
        await viewer.until_frames(4)
        transport: Any = publisher.pc.getSenders()[0].transport
        send = transport._send_rtp
        replace_private(transport, "_send_rtp", AsyncMock())
        silent_ms = (PEER_SILENCE_MAX_S + 1) * 1000
        await viewer.until(lambda: since_input_ms(viewer) > silent_ms)
        replace_private(transport, "_send_rtp", send)
        await viewer.until(lambda: since_input_ms(viewer) < 1000)

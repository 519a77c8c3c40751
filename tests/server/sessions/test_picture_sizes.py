"""Real calls whose pictures have the camera's aspect, and change their size while they last."""

from collections.abc import Callable
from itertools import groupby
from pathlib import Path

import pytest
from aiortc import MediaStreamTrack
from av import VideoFrame

from tests.server.calls import Call, Camera, dial, number_of, numbered
from tests.server.serving import Serving, serving


def sizes(call: Call) -> list[tuple[int, int]]:
    """Those of the pictures that have come, each stretch once."""
    return [size for size, _ in groupby((frame.width, frame.height) for frame in call.frames)]


async def until_size(call: Call, size: tuple[int, int]) -> None:
    await call.until(lambda: bool(call.frames) and sizes(call)[-1] == size)


@pytest.mark.parametrize(
    ("camera_px", "size"),
    [((480, 640), (480, 640)), ((1280, 720), (736, 416)), ((360, 640), (416, 736))],
)
async def test_a_camera_gets_pictures_of_its_aspect(
    camera_px: tuple[int, int], size: tuple[int, int], tmp_path: Path
) -> None:
    """portrait and 16:9, from the first one on, and the state says so."""
    camera = Camera(width_px=camera_px[0], height_px=camera_px[1], fps=15)
    async with serving(tmp_path) as server, dial(server.client, camera=camera) as call:
        live = await call.until_event("state", state="live")
        assert (live["width_px"], live["height_px"]) == size
        await call.until_frames(8)
        assert sizes(call) == [size]
        assert None not in {number_of(frame) for frame in call.frames[2:]}


@pytest.mark.parametrize("codec", ["H264", "VP8"])
async def test_the_size_changes_while_a_call_lasts(codec: str, tmp_path: Path) -> None:
    """down and up again, on the same call: each picture is whole, and none comes out of turn; who
    watches gets the same."""
    async with (
        serving(tmp_path) as server,
        dial(server.client, camera=Camera(), codec=codec) as call,
    ):
        await until_size(call, (640, 480))
        (stream,) = server.sessions.streams()
        async with dial(server.client, watch=True, codec=codec, view=call.stream) as viewer:
            assert viewer.status == 200, viewer.error
            await viewer.until_frames(2)
            for size_px, size in ((360, (480, 360)), (0, (640, 480))):
                stream.chunk_pipe.limit_size(size_px)
                call.events.clear()
                await until_size(call, size)
                state = await call.until_event("state")
                assert (state["width_px"], state["height_px"]) == size
                await until_size(viewer, size)
                await call.until_more_frames(6)
        assert sizes(call) == [(640, 480), (480, 360), (640, 480)]
        numbers = [number_of(frame) for frame in call.frames[2:]]
        assert None not in numbers
        assert numbers == sorted(set(numbers), key=lambda number: number or 0)
        assert stream.chunk_pipe.drops["resized"] <= 2 * 8


class Turning(MediaStreamTrack):
    """A camera that has another shape in every second of its pictures' time."""

    kind = "video"

    def __init__(self) -> None:
        super().__init__()
        self._upright = Camera(width_px=240, height_px=320, fps=15)
        self._number = 0

    async def recv(self) -> VideoFrame:
        frame = await self._upright.recv()
        self._number += 1
        if self._number // 15 % 2:
            turned = numbered(self._number, width_px=320, height_px=240)
            turned.pts, turned.time_base = frame.pts, frame.time_base
            return turned
        return frame


async def counted(server: Serving, name: str) -> Callable[[str], float]:
    text = await (await server.client.get("/metrics")).text()
    lines = dict(line.rsplit(" ", 1) for line in text.splitlines() if line.startswith(name))
    return lambda labels: float(lines.get(f"{name}{{{labels}}}", 0))


async def test_a_camera_that_turns_every_second_keeps_its_picture(tmp_path: Path) -> None:
    """which is cut meanwhile; that it was not followed is counted."""
    async with serving(tmp_path) as server, dial(server.client, camera=Turning()) as call:
        await call.until_frames(15 * 3)
        assert sizes(call) == [(480, 640)]
        turns = await counted(server, "slipstream_camera_turns_total")
        assert turns('outcome="passed_over"') >= 1
        assert turns('outcome="followed"') == 0

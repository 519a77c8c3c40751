"""Streams are recorded: frame by frame, with their sound, whatever ends the recording."""

import asyncio
import math
import resource
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np
from aiohttp import ClientSession
from aiohttp.test_utils import TestClient
from av import AudioFrame, VideoFrame

from tests.server.calls import Call, dial
from tests.server.clicks import PERIOD_S, ClickMicrophone, Clock, FlashCamera, report_exactly
from tests.server.serving import poll, serving

WHITE = 150  # of luma
LOUD = 0.2  # of full scale
SKEW_S = 0.045
LARGEST_BYTES = 60_000


@dataclass
class Film:
    """What a file holds: times in s of its pictures, of flashes and of clicks."""

    times_s: list[float]
    flashes_s: list[float]
    clicks_s: list[float]


def watched(path: Path) -> Film:
    film = Film([], [], [])
    was_white, quiet_until_s = False, -1.0
    with av.open(str(path)) as container:
        for frame in container.decode():
            assert frame.time is not None
            if isinstance(frame, VideoFrame):
                film.times_s.append(frame.time)
                is_white = float(frame.to_ndarray(format="gray").mean()) > WHITE
                if is_white and not was_white:
                    film.flashes_s.append(frame.time)
                was_white = is_white
            elif isinstance(frame, AudioFrame):
                level = np.abs(frame.to_ndarray()).max()
                if level > LOUD and frame.time > quiet_until_s:
                    film.clicks_s.append(frame.time)
                    quiet_until_s = frame.time + 0.1
    return film


def skews_s(film: Film) -> list[float]:
    """Of each flash but the first, which may have begun before the recording did; and before the
    end of the sound, which the input's comes after."""
    return [
        min(abs(click_s - flash_s) for click_s in film.clicks_s)
        for flash_s in film.flashes_s[1:]
        if flash_s < film.clicks_s[-1] + PERIOD_S / 2
    ]


def check_film(film: Film, *, at_least_s: float, longest_gap_s: float = 1.0) -> None:
    """It begins at once, its pictures rise, none is missing for long, and lips fit."""
    assert film.times_s[0] < 0.1 and film.times_s[-1] > at_least_s
    assert all(0 < after - before < longest_gap_s for before, after in pairwise(film.times_s))
    assert len(skews_s(film)) > 1 and max(skews_s(film)) <= SKEW_S


async def asked(
    client: TestClient[Any, Any] | ClientSession, method: str, path: str
) -> tuple[int, dict[str, Any]]:
    async with client.request(method, f"/api/v1/streams/{path}") as response:
        return response.status, await response.json()


def clip() -> dict[str, Any]:
    clock = Clock()
    return {"camera": FlashCamera(clock), "microphone": ClickMicrophone(clock)}


async def recorded(call: Call, client: TestClient[Any, Any], *, frames: int) -> str:
    """The file of a recording that has begun, once so many more pictures have come."""
    await call.until_event("state", state="live")
    camera = next(one.track for one in call.pc.getSenders() if isinstance(one.track, FlashCamera))
    reported = report_exactly(call.pc, camera.clock)
    await poll(lambda: reported.is_known)
    status, state = await asked(client, "POST", f"{call.stream}/recording")
    assert (status, state["is_on"]) == (201, True)
    await call.until_event("recording", is_on=True)
    await call.until_more_frames(frames)
    return str(state["file"])


async def test_a_recording_holds_picture_and_sound(tmp_path: Path) -> None:
    """it is begun and ended by the API, listed, downloaded, and plays; a copy taken while it is
    written plays too, as what is left by a crash does. There is one at a time."""
    folder = tmp_path / "recordings"
    async with (
        serving(tmp_path, record_dir=str(folder), record_free_mib=0) as server,
        dial(server.client, **clip()) as call,
    ):
        client = server.client
        name = await recorded(call, client, frames=100)
        status, refused = await asked(client, "POST", f"{call.stream}/recording")
        assert status == 409 and "is being recorded already" in refused["error"]
        crashed = tmp_path / "crashed.mp4"
        shutil.copyfile(folder / call.stream / name, crashed)
        status, state = await asked(client, "DELETE", f"{call.stream}/recording")
        assert (status, state["is_on"], state["file"]) == (200, False, name)
        assert await asked(client, "DELETE", f"{call.stream}/recording") == (200, state)
        await call.until_event("recording", is_on=False, file=name)
        await poll(lambda: "recording" not in threads())
        status, listed = await asked(client, "GET", f"{call.stream}/recordings")
        size = (folder / call.stream / name).stat().st_size
        assert listed == {"recordings": [{"file": name, "bytes": size}]}
        path = f"/api/v1/streams/{call.stream}/recordings"
        async with client.get(f"{path}/{name}") as response:
            assert len(await response.read()) == size
            assert response.headers["Content-Disposition"].startswith("attachment")
        for other in ("20200101-000000.mp4", "..%2Fx.mp4", "x"):
            async with client.get(f"{path}/{other}") as response:
                assert response.status == 404
    film = await asyncio.to_thread(watched, folder / call.stream / name)
    left = await asyncio.to_thread(watched, crashed)
    check_film(film, at_least_s=2.0)
    assert left.times_s == film.times_s[: len(left.times_s)] and len(left.times_s) > 20


def threads() -> set[str]:
    return {thread.name for thread in threading.enumerate()}


async def test_a_full_disk_ends_a_recording_and_not_the_call(tmp_path: Path) -> None:
    """and so does its longest time: the page is told, what there is plays, another may begin."""
    limits: tuple[tuple[dict[str, Any], str], ...] = (
        ({"record_free_mib": 1 << 30}, "record_free_mib is 1073741824; make room"),
        ({"record_max_minutes": 0.02, "record_free_mib": 0}, "record_max_minutes, 0.02"),
    )
    for limit, reason in limits:
        folder = tmp_path / "recordings"
        async with (
            serving(tmp_path, record_dir=str(folder), **limit) as server,
            dial(server.client, **clip()) as call,
        ):
            name = await recorded(call, server.client, frames=1)
            ended = await call.until_event("recording", is_on=False, file=name)
            assert reason in ended["reason"] and ended["file"] == name
            await call.until_more_frames(4)
            film = await asyncio.to_thread(watched, folder / call.stream / name)
            assert film.times_s


async def test_a_file_that_takes_no_more_ends_a_recording_and_not_the_call(tmp_path: Path) -> None:
    """the kernel refuses to write on; the reason is told, what there is plays."""
    folder = tmp_path / "recordings"
    async with (
        serving(tmp_path, record_dir=str(folder), record_free_mib=0) as server,
        dial(server.client, **clip()) as call,
    ):
        with largest_file(LARGEST_BYTES):
            name = await recorded(call, server.client, frames=1)
            ended = await call.until_event("recording", is_on=False, file=name)
        assert ended["reason"] == "the disk takes no more of the recording: File too large"
        await call.until_more_frames(4)
    path = folder / call.stream / name
    film = await asyncio.to_thread(watched, path)
    assert film.times_s and path.stat().st_size <= LARGEST_BYTES


@contextmanager
def largest_file(size_bytes: int) -> Iterator[None]:
    """No file of this process can grow beyond it while the block runs."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


async def test_the_input_is_recorded_beside_the_output(tmp_path: Path) -> None:
    """in a file of its own with the same sound; lips fit in both. A camera that stands still does
    so in its own file: nothing is repeated there, as it is for the model."""
    folder = tmp_path / "recordings"
    async with (
        serving(tmp_path, record_dir=str(folder), record_free_mib=0, record_input=True) as server,
        dial(server.client, **clip()) as call,
    ):
        name = await recorded(call, server.client, frames=80)
        await asked(server.client, "DELETE", f"{call.stream}/recording")
        await poll(lambda: not threads() & {"recording", "input recording"})
        status, listed = await asked(server.client, "GET", f"{call.stream}/recordings")
    names = [one["file"] for one in listed["recordings"]]
    assert status == 200 and sorted(names) == sorted([name, name.replace(".mp4", "-input.mp4")])
    for one in names:
        film = await asyncio.to_thread(watched, folder / call.stream / one)
        check_film(film, at_least_s=1.5, longest_gap_s=1.0 if one == name else math.inf)


async def test_where_nothing_is_recorded_the_reason_is_said(tmp_path: Path) -> None:
    """without a folder, or with one that cannot be."""
    blocked = tmp_path / "file"
    blocked.write_text("")
    cases: tuple[tuple[dict[str, Any], str], ...] = (
        ({}, "start it with --record-dir"),
        ({"record_dir": str(blocked)}, "takes no files: Not a directory"),
    )
    for settings, reason in cases:
        async with serving(tmp_path, **settings) as server, dial(server.client, **clip()) as call:
            await call.until_event("state", state="live")
            status, refused = await asked(server.client, "POST", f"{call.stream}/recording")
            assert status == 422 and reason in refused["error"]
            assert (await asked(server.client, "GET", f"{call.stream}/recordings"))[0] == 200

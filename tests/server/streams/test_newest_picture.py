"""`streams/newest_picture.py`: how often a small picture is made, and of which."""

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import av
import numpy as np
import pytest
from slipstream_server.errors import UnknownSession
from slipstream_server.frames.playout import GeneratedFrame
from slipstream_server.streams import newest_picture
from slipstream_server.streams.newest_picture import NewestPicture

from tests.server.stamped import GEOMETRY, generated_frame

DARK, BRIGHT = 60, 180


class CountingPool(ThreadPoolExecutor):
    """Counts what it is given to do."""

    count = 0

    def submit(self, work: Callable[..., Any], /, *rest: Any, **named: Any) -> Future[Any]:
        self.count += 1
        return super().submit(work, *rest, **named)


@pytest.fixture
def pool() -> Iterator[CountingPool]:
    with CountingPool(2) as pool:
        yield pool


def chunk(*luma: int) -> list[GeneratedFrame]:
    """Plain frames of this brightness."""
    return [
        replace(
            generated_frame(1000 + 33 * index, index=index),
            frame=np.full(GEOMETRY.frame_shape, value, np.uint8),
        )
        for index, value in enumerate(luma)
    ]


def brightness(jpeg: bytes) -> float:
    decoder = av.CodecContext.create("mjpeg", "r")
    (picture,) = decoder.decode(av.Packet(jpeg))
    return float(picture.to_ndarray(format="gray").mean())


async def test_before_the_first_picture_there_is_none(pool: CountingPool) -> None:
    with pytest.raises(UnknownSession, match="stream 'stage' has no picture yet"):
        await NewestPicture("stage", pool).thumbnail()
    assert pool.count == 0


async def test_many_who_ask_at_once_cost_one_picture(pool: CountingPool) -> None:
    """that of the newest frame; nothing is made before somebody asks."""
    picture = NewestPicture("stage", pool)
    picture.push(chunk(BRIGHT, DARK))
    assert pool.count == 0
    jpegs = await asyncio.gather(*(picture.thumbnail() for _ in range(20)))
    assert len(set(jpegs)) == pool.count == 1
    assert brightness(jpegs[0]) < BRIGHT / 2


async def test_a_newer_frame_is_shown_after_a_while(
    pool: CountingPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """until then the picture is kept, and where no newer frame comes for good."""
    picture = NewestPicture("stage", pool)
    monkeypatch.setattr(newest_picture, "KEPT_S", 1000.0)
    picture.push(chunk(DARK))
    first = await picture.thumbnail()
    picture.push(chunk(BRIGHT))
    assert await picture.thumbnail() == first
    monkeypatch.setattr(newest_picture, "KEPT_S", 0.0)
    second = await picture.thumbnail()
    assert brightness(second) > brightness(first) + 50
    assert await picture.thumbnail() == second
    assert pool.count == 2


async def test_a_still_is_the_picture_itself(pool: CountingPool) -> None:
    """of its own size, black where it is black; made once for all who ask for the same one."""
    picture = NewestPicture("stage", pool)
    with pytest.raises(UnknownSession):
        await picture.still()
    frames = chunk(DARK)
    frames[0].frame[:] = 128
    frames[0].frame[: GEOMETRY.height_px] = 16
    picture.push(frames)
    stills = await asyncio.gather(picture.still(), picture.still())
    assert stills[0] == stills[1] and pool.count == 1
    (shown,) = av.CodecContext.create("png", "r").decode(av.Packet(stills[0]))
    assert (shown.width, shown.height) == (GEOMETRY.width_px, GEOMETRY.height_px)
    assert shown.to_ndarray(format="rgb24").max() <= 1

"""Colours of what is published by WHIP, as they come back by WHEP."""

import asyncio
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from aiortc import MediaStreamTrack

from tests.colours import PATCHES, Colour, colour_of, distance, flat, samples_of
from tests.server.serving import serving
from tests.server.whips import posted

FPS, FRAMES_EACH = 30, 10
WIDTH_PX, HEIGHT_PX = 640, 480
BT_601 = 6
NAMES = {1: "bt709", 6: "smpte170m", 9: "bt2020nc"}


def published(matrix: int, *, is_full: bool) -> "list[av.Packet[Any]]":
    """All patches, one after the other, in H.264 that declares their matrix and range."""
    context: Any = av.CodecContext.create("libx264", "w")
    context.width, context.height, context.pix_fmt = WIDTH_PX, HEIGHT_PX, "yuv420p"
    context.time_base, context.framerate = Fraction(1, FPS), Fraction(FPS)
    context.profile = "Baseline"
    said = f"colormatrix={NAMES[matrix]}:fullrange={'on' if is_full else 'off'}:keyint=10"
    context.options = {"tune": "zerolatency", "crf": "10", "x264-params": said}
    packets: list[av.Packet[Any]] = []
    for number in range(len(PATCHES) * FRAMES_EACH):
        samples = samples_of(PATCHES[number // FRAMES_EACH], matrix, is_full=is_full)
        frame = flat(samples, width_px=WIDTH_PX, height_px=HEIGHT_PX)
        frame.pts, frame.time_base = number, Fraction(1, FPS)
        packets += context.encode(frame)
    return packets


class Loop(MediaStreamTrack):
    """The same packets over and over, at their rate."""

    kind = "video"

    def __init__(self, packets: "list[av.Packet[Any]]") -> None:
        super().__init__()
        self._units = [bytes(packet) for packet in packets]
        self._number = 0

    async def recv(self) -> "av.Packet[Any]":
        await asyncio.sleep(1 / FPS)
        packet: av.Packet[Any] = av.Packet(self._units[self._number % len(self._units)])
        packet.pts, packet.time_base = self._number * 90_000 // FPS, Fraction(1, 90_000)
        self._number += 1
        return packet


def middle_of(frame: av.VideoFrame) -> Colour:
    """Y, U, V in the middle of a picture."""
    means = []
    for plane in frame.planes:
        rows = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)
        y, x = plane.height // 2, plane.width // 2
        means.append(round(float(rows[y - 8 : y + 8, x - 8 : x + 8].mean())))
    return means[0], means[1], means[2]


@pytest.mark.parametrize(("matrix", "is_full"), [(1, False), (1, True), (9, False), (6, True)])
async def test_flat_colours_come_back_as_they_were(
    tmp_path: Path, matrix: int, is_full: bool
) -> None:
    """within 4 levels, read by the matrix and range that the viewer's picture declares."""
    async with (
        serving(tmp_path) as server,
        posted(
            server.client, "/whip/stage", camera=Loop(published(matrix, is_full=is_full))
        ) as publisher,
    ):
        assert publisher.status == 201, publisher.error
        async with posted(server.client, "/whep/stage", codec="H264") as viewer:
            seen: dict[Colour, int] = {}

            def all_are_seen() -> bool:
                """Each patch within 4 levels, in one frame or another; no frame is kept twice."""
                while viewer.frames:
                    frame = viewer.frames.pop(0)
                    assert (int(frame.colorspace), int(frame.color_range)) == (BT_601, 1)
                    found = colour_of(middle_of(frame), BT_601)
                    for patch in PATCHES:
                        seen[patch] = min(seen.get(patch, 255), distance(found, patch))
                return len(seen) == len(PATCHES) and max(seen.values()) <= 4

            await viewer.until(all_are_seen)

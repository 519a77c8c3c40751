"""Colours of what is published by WHIP, as they come back by WHEP."""

import asyncio
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from aiortc import MediaStreamTrack
from slipstream_server.rtp.aiortc_internals import replace_private
from slipstream_server.rtp.colour_extension import COLOUR_SPACE

from tests.colours import PATCHES, Colour, colour_of, distance, flat, samples_of
from tests.server.packets import FixedExtensions
from tests.server.serving import Serving, serving
from tests.server.whips import posted

FPS, FRAMES_EACH = 30, 10
WIDTH_PX, HEIGHT_PX = 640, 480
BT_601 = 6
NAMES = {1: "bt709", 6: "smpte170m", 9: "bt2020nc"}


def published(matrix: int, *, is_full: bool, is_declared: bool = True) -> "list[av.Packet[Any]]":
    """All patches, one after the other, in H.264 that declares matrix and range, or nothing."""
    context: Any = av.CodecContext.create("libx264", "w")
    context.width, context.height, context.pix_fmt = WIDTH_PX, HEIGHT_PX, "yuv420p"
    context.time_base, context.framerate = Fraction(1, FPS), Fraction(FPS)
    context.profile = "Baseline"
    said = f"colormatrix={NAMES[matrix]}:fullrange={'on' if is_full else 'off'}:keyint=10"
    context.options = {
        "tune": "zerolatency",
        "crf": "10",
        "x264-params": said if is_declared else "keyint=10",
    }
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


async def assert_seen(server: Serving) -> None:
    """A viewer sees each patch within 4 levels, by the colours that its picture declares."""
    async with posted(server.client, "/whep/stage", codec="H264") as viewer:
        seen: dict[Colour, int] = {}

        def all_are_seen() -> bool:
            while viewer.frames:
                frame = viewer.frames.pop(0)
                assert (int(frame.colorspace), int(frame.color_range)) == (BT_601, 1)
                found = colour_of(middle_of(frame), BT_601)
                for patch in PATCHES:
                    seen[patch] = min(seen.get(patch, 255), distance(found, patch))
            return len(seen) == len(PATCHES) and max(seen.values()) <= 4

        await viewer.until(all_are_seen)


@pytest.mark.parametrize(("matrix", "is_full"), [(1, False), (9, True)])
async def test_flat_colours_come_back_as_they_were(
    tmp_path: Path, matrix: int, is_full: bool
) -> None:
    """whatever matrix and range the publisher's H.264 declares."""
    camera = Loop(published(matrix, is_full=is_full))
    async with (
        serving(tmp_path) as server,
        posted(server.client, "/whip/stage", camera=camera) as publisher,
    ):
        assert publisher.status == 201, publisher.error
        await assert_seen(server)


async def test_colours_that_are_said_beside_the_picture(tmp_path: Path) -> None:
    """as browsers say them: in a header extension, while the stream itself declares nothing."""
    extension = f"a=mid:0\r\na=extmap:8 {COLOUR_SPACE}\r\n"
    async with (
        serving(tmp_path) as server,
        posted(
            server.client,
            "/whip/stage",
            camera=Loop(published(1, is_full=False, is_declared=False)),
            edit=lambda sdp: sdp.replace("a=mid:0\r\n", extension),
        ) as publisher,
    ):
        assert extension.split()[1] in publisher.answer_sdp
        (sender,) = publisher.pc.getSenders()
        beside = FixedExtensions([(8, bytes([1, 1, 1, 0x10]))])
        replace_private(sender, "_RTCRtpSender__rtp_header_extensions_map", beside)
        await assert_seen(server)

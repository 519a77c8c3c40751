"""RTP packets of a publisher that aiortc would not send: layers, frames without parameter sets."""

import asyncio
import re
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import av
from aiortc import MediaStreamTrack
from aiortc.codecs.h264 import H264Encoder as Packer
from aiortc.rtp import RTCP_PSFB_PLI, RtcpPacket, RtcpPsfbPacket, RtpPacket, is_rtcp

from tests.server.calls import numbered
from tests.server.whips import WhipCall

FPS = 30
CYCLE = 1 << 32
START_CODE = b"\0\0\0\1"


class Silence(MediaStreamTrack):
    """A track whose pictures never come, in the place of those that are sent by hand."""

    kind = "video"

    async def recv(self) -> Any:
        await asyncio.Event().wait()


class Encoder:
    """Numbered pictures in H.264, a key frame where one is requested."""

    def __init__(self, width_px: int, height_px: int) -> None:
        self._size = {"width_px": width_px, "height_px": height_px}
        self._codec = av.CodecContext.create("libx264", "w")
        self._codec.width, self._codec.height = width_px, height_px
        self._codec.pix_fmt, self._codec.time_base = "yuv420p", Fraction(1, FPS)
        params = "keyint=infinite:scenecut=0:intra-refresh=0"
        self._codec.options = {
            "tune": "zerolatency",
            "preset": "ultrafast",
            "profile": "baseline",
            "x264-params": params,
        }

    def encode(self, number: int, *, key: bool) -> list[bytes]:
        """The NAL units of a picture."""
        frame = numbered(number, **self._size)
        frame.pts = number
        frame.pict_type = av.video.frame.PictureType.I if key else av.video.frame.PictureType.NONE
        data = b"".join(bytes(packet) for packet in self._codec.encode(frame))
        return [unit for unit in re.split(b"\0?\0\0\1", data) if unit]


class RawVideo:
    """One RTP stream of a call that stands.

    Args:
        call: of a publisher; its own sender sends nothing.
        ssrc: of the stream.
        began: the RTP timestamp of picture 0.
        layer: the header extension that names it in simulcast: id and name.
    """

    def __init__(
        self, call: WhipCall, *, ssrc: int, began: int, layer: tuple[int, str] | None = None
    ) -> None:
        found = re.search(r"a=rtpmap:(\d+) H264", call.answer_sdp)
        assert found is not None, call.answer_sdp
        self.needs_key = False
        self._payload_type = int(found[1])
        self._transport: Any = call.pc.getSenders()[0].transport
        self._ssrc, self._began, self._layer = ssrc, began, layer
        self._sequence = ssrc % 1000
        listen(self._transport, self._on_rtcp)

    def _on_rtcp(self, packet: Any) -> None:
        is_pli = isinstance(packet, RtcpPsfbPacket) and packet.fmt == RTCP_PSFB_PLI
        self.needs_key |= is_pli and packet.media_ssrc == self._ssrc

    async def send(self, number: int, units: list[bytes]) -> None:
        """One picture."""
        packet = av.Packet(b"".join(START_CODE + unit for unit in units))
        packet.pts, packet.time_base = number * 90_000 // FPS, Fraction(1, 90_000)
        payloads, timestamp = Packer().pack(packet)
        for index, payload in enumerate(payloads):
            self._sequence += 1
            made = RtpPacket(
                payload_type=self._payload_type,
                sequence_number=self._sequence,
                timestamp=(self._began + timestamp) % CYCLE,
                ssrc=self._ssrc,
                payload=payload,
                marker=int(index == len(payloads) - 1),
            )
            await self._transport._send_rtp(self._named(made.serialize()))

    def _named(self, data: bytes) -> bytes:
        """The packet with its layer's name in a header extension of one byte (RFC 8285)."""
        if self._layer is None:
            return data
        id, name = self._layer
        element = bytes([id << 4 | len(name) - 1]) + name.encode()
        element += bytes(-len(element) % 4)
        head = bytes([data[0] | 0x10]) + data[1:12]
        return head + b"\xbe\xde" + (len(element) // 4).to_bytes(2, "big") + element + data[12:]


def listen(transport: Any, on_rtcp: Callable[[Any], None]) -> None:
    """Call `on_rtcp` with each RTCP packet that the call gets."""
    handle = transport._handle_rtcp_data

    async def handle_too(data: bytes) -> None:
        if is_rtcp(data):
            for packet in RtcpPacket.parse(data):
                on_rtcp(packet)
        await handle(data)

    transport._handle_rtcp_data = handle_too

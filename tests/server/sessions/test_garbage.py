"""Garbage on the media ports and channels of a live call harms nobody and fills no log."""

import asyncio
import random
import re
import socket
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aiortc.rtcsctptransport import WEBRTC_STRING
from slipstream_server.errors import UnknownSession
from slipstream_server.rtc import peer_connection
from slipstream_server.rtc.data_channel_limits import DataChannelLimit

from tests.server.calls import Call, Camera, dial
from tests.server.serving import Serving, poll, serving

SEED = 11
STUN_COOKIE = 0x2112A442


def garbage(count: int) -> Iterator[bytes]:
    """Datagrams that begin as STUN, DTLS, RTP, RTCP or nothing known."""
    chance = random.Random(SEED)
    for _ in range(count):
        body = chance.randbytes(chance.choice((0, 1, 8, 40, 400, 1400)))
        kind = chance.randrange(6)
        if kind == 0:  # STUN whose attributes are cut off
            attribute = (
                struct.pack("!HH", chance.choice((0x0006, 0x0024, 0x8028, 1)), 1) + b"a\0\0\0"
            )
            head = struct.pack("!HHI", 1, len(attribute), STUN_COOKIE)
            yield head + chance.randbytes(12) + attribute
        elif kind == 1:
            yield struct.pack("!HHI", 1, len(body), STUN_COOKIE) + chance.randbytes(12) + body
        elif kind == 2:  # a DTLS record: handshake, alert or data
            yield bytes([chance.choice((20, 21, 22, 23)), 0xFE, 0xFD]) + body
        elif kind == 3:
            yield bytes([0x80 | chance.randrange(64), chance.randrange(128)]) + body
        elif kind == 4:
            yield bytes([0x80 | chance.randrange(32), chance.randrange(200, 207)]) + body
        else:
            yield body


def media_ports(call: Call) -> list[int]:
    """Where the server listens on the loopback for this call."""
    return [int(port) for port in re.findall(r" 127\.0\.0\.1 (\d+) typ host", call.answer_sdp)]


def own_sockets(call: Call) -> list[Any]:
    transport = call.pc.getTransceivers()[0].receiver.transport
    return [protocol.transport for protocol in transport.transport._connection._protocols]


async def test_garbage_on_the_media_ports_of_a_live_call(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """from a stranger, and from the caller's own address; the call goes on, nothing is logged for
    each packet, and no error reaches the loop."""
    unhandled: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(
        lambda loop, context: unhandled.append(context)
    )
    async with serving(tmp_path) as server, dial(server.client, camera=Camera()) as call:
        await call.until_frames(4)
        ports = media_ports(call)
        assert ports
        caplog.clear()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
            for number, datagram in enumerate(garbage(1500)):
                for port in ports:
                    stranger.sendto(datagram, ("127.0.0.1", port))
                    for own in own_sockets(call):
                        if own.get_extra_info("sockname")[0] == "127.0.0.1":
                            own.sendto(datagram, ("127.0.0.1", port))
                if number % 50 == 0:
                    await asyncio.sleep(0)
        await call.until_frames(len(call.frames) + 16)
        assert server.sessions.is_live(call.id)
    assert unhandled == []
    assert len([one for one in caplog.records if one.name.startswith(("slip", "aio"))]) < 40


async def end_reason(server: Serving, call: Call) -> str:
    """Wait until the server has ended the call; returns why."""
    await poll(lambda: not server.sessions.is_live(call.id))
    with pytest.raises(UnknownSession) as ended:
        server.sessions.find(call.id)
    return str(ended.value)


async def test_media_that_cannot_be_read_costs_its_sender_only(tmp_path: Path) -> None:
    """encrypted as it should be, and broken inside: another call goes on."""
    async with (
        serving(tmp_path) as server,
        dial(server.client, camera=Camera()) as good,
        dial(server.client, camera=Camera()) as bad,
    ):
        await good.until_frames(4)
        await bad.until_frames(1)
        transport: Any = bad.pc.getTransceivers()[0].receiver.transport
        chance = random.Random(SEED)
        for _ in range(200):
            head = struct.pack("!BBHLL", 0x90, chance.choice((97, 99, 200, 205)), 1, 2, 3)
            extension = struct.pack("!HH", 0xBEDE, 1) + chance.randbytes(4)
            try:
                await transport._send_rtp(head + extension + chance.randbytes(12))
            except ConnectionError:
                break  # the server has had enough
        await good.until_frames(len(good.frames) + 16)


async def test_a_flooded_channel_is_closed_and_others_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """one message that is too long is answered, many end the call with the reason; the other
    caller's frames keep coming, and its messages are answered. Rate and burst are a tenth of the
    real ones: a caller in Python may send no faster than those allow."""
    monkeypatch.setattr(peer_connection, "_INCOMING_BURST_BYTES", 200 << 10)
    monkeypatch.setattr(peer_connection, "_INCOMING_BYTES_PER_S", 26 << 10)
    async with (
        serving(tmp_path) as server,
        dial(server.client, camera=Camera()) as good,
        dial(server.client, camera=Camera()) as bad,
    ):
        await good.until_frames(4)
        await bad.until_event("state")
        sctp: Any = bad.pc.sctp
        sctp._remote_max_message_size = 1 << 30
        bad.send("x" * 100_000)
        ack = await bad.until_event("ack", status="rejected")
        assert "the message is 100000 bytes, the most is 65536" in ack["errors"][0]
        for _ in range(8):
            bad.send("x" * 100_000)
        assert "the data channel brings more than 26 KiB a second" in await end_reason(server, bad)
        good.send({"noise_scale": 0.0, "rev": 7})
        await good.until_event("ack", rev=7)
        await good.until_frames(len(good.frames) + 16)


async def test_a_message_without_an_end_is_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """within the rate, but beyond the advertised receive window."""
    limited: list[Any] = []

    def limit(sctp: Any, *callbacks: Any) -> None:
        limited.append(sctp)
        DataChannelLimit(sctp, *callbacks)

    monkeypatch.setattr(peer_connection, "DataChannelLimit", limit)
    async with serving(tmp_path) as server, dial(server.client, camera=Camera()) as call:
        await call.until_event("state")
        sctp: Any = call.pc.sctp
        sctp._remote_max_message_size = 1 << 30
        (own_sctp,) = limited
        own_sctp._advertised_rwnd = -(1 << 20)  # as if it had been going on
        call.send("x" * 10)
        await end_reason(server, call)


async def test_text_that_is_no_utf8_ends_the_call_with_the_reason(tmp_path: Path) -> None:
    """as text on the wire, which a browser never sends."""
    async with serving(tmp_path) as server, dial(server.client, camera=Camera()) as call:
        await call.until_event("state")
        sctp: Any = call.pc.sctp
        sctp._data_channel_queue.append((call.channel, WEBRTC_STRING, b'{"prompt": "\xff\xfe"}'))
        await sctp._data_channel_flush()
        assert "brings what cannot be read (UnicodeDecodeError" in await end_reason(server, call)


async def test_more_channels_than_a_page_needs_end_the_call(tmp_path: Path) -> None:
    async with serving(tmp_path) as server, dial(server.client, camera=Camera()) as call:
        await call.until_event("state")
        for number in range(20):
            call.pc.createDataChannel(f"more {number}")
        assert "more than 8 data channels were opened" in await end_reason(server, call)


async def test_a_camera_may_change_its_size_but_not_to_a_stripe(tmp_path: Path) -> None:
    """smaller, larger and upright go on; a picture that nobody films ends the call."""

    class Changing(Camera):
        async def recv(self) -> Any:
            frame = await super().recv()
            sizes = ((640, 480), (320, 240), (800, 600), (240, 426))
            self._width_px, self._height_px = sizes[self._number // 10 % 4]
            if self.absurd:
                self._width_px, self._height_px = 16, 1024
            return frame

        absurd = False

    camera = Changing()
    async with serving(tmp_path) as server, dial(server.client, camera=camera) as call:
        await call.until_frames(50)
        camera.absurd = True
        reason = await end_reason(server, call)
        assert "the camera's picture is 16x1024, its sides may be 6 times" in reason


async def test_a_camera_that_stops_is_noticed(tmp_path: Path) -> None:
    """frames end, messages are still answered, and a new call is opened after it."""
    camera = Camera()
    async with serving(tmp_path, max_streams=1) as server:
        async with dial(server.client, camera=camera) as call:
            await call.until_frames(4)
            camera.stop()
            call.send({"noise_scale": 0.0, "rev": 1})
            await call.until_event("ack", rev=1)
        await poll(lambda: server.sessions.count().publishers == 0)
        async with dial(server.client, camera=Camera()) as call:
            await call.until_frames(4)

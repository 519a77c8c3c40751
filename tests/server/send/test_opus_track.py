"""The sound of one receiver."""

import asyncio

import pytest
from aiortc.mediastreams import MediaStreamError
from slipstream_server.send.opus_track import OpusTrack
from slipstream_server.sound.delay_line import DueSound, TimedSound


def due(number: int) -> DueSound:
    sound = TimedSound(payload=bytes([number]), pts=960 * number, captured_ns=0)
    return DueSound(sound=sound, due_ns=number)


async def test_packets_come_out_as_they_went_in() -> None:
    """with their times; each is reported as sent when the next is requested. A receiver is one of
    those connected from its first request to its end."""
    tracks: list[OpusTrack] = []
    track = OpusTrack(tracks)
    sent: list[int] = []
    track.on_sent = sent.append
    assert tracks == []
    waiting = asyncio.create_task(track.recv())
    await asyncio.sleep(0)
    assert tracks == [track]
    track.push(due(1))
    track.push(due(2))
    packets = [await waiting, await track.recv()]
    assert [(bytes(packet), packet.pts) for packet in packets] == [(b"\1", 960), (b"\2", 1920)]
    assert sent == [1]
    track.stop()
    assert tracks == []
    with pytest.raises(MediaStreamError):
        await track.recv()
    assert sent == [1, 2]


async def test_who_does_not_fetch_loses_the_oldest() -> None:
    track = OpusTrack([])
    for number in range(40):
        track.push(due(number))
    assert track.dropped == 15
    assert bytes(await track.recv()) == bytes([15])
    track.stop()

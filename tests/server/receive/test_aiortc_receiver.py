"""The queues of a received track have a bound and an end."""

import asyncio

from slipstream_server.receive.aiortc_receiver import DecoderQueue, TrackQueue


async def test_the_newest_pictures_stay() -> None:
    """a reader that sleeps finds the last few; what it missed is counted."""
    queue = TrackQueue(max_frames=3)
    for number in range(10):
        await queue.put(number)
    assert [queue.get_nowait() for _ in range(3)] == [7, 8, 9]
    assert queue.empty()
    assert queue.dropped == 7


async def test_a_waiting_reader_gets_each_picture() -> None:
    """nothing is dropped where somebody reads."""
    queue = TrackQueue(max_frames=1)
    reader = asyncio.create_task(queue.get())
    await asyncio.sleep(0)
    await queue.put("picture")
    assert await reader == "picture"
    assert queue.dropped == 0


def test_a_decoder_too_slow_loses_all_that_waits() -> None:
    """frames build on each other: the one too many and those before it go together."""
    queue = DecoderQueue(max_frames=3)
    assert [queue.offer(number) for number in range(5)] == [True, True, True, False, True]
    assert queue.get() == 4
    assert queue.dropped == 4


def test_the_end_overtakes() -> None:
    """the decoder's thread is joined on the event loop: it must not decode a backlog first."""
    queue = DecoderQueue()
    for number in range(5):
        queue.offer(number)
    queue.put(None)
    assert queue.get() is None
    assert queue.dropped == 5

"""The stamps of every frame, as the page gets them."""

import math
from dataclasses import replace

from slipstream_server.frames.playout import ScheduledFrame
from slipstream_server.send.frame_timing import RECORD, FrameTimes, TimingBatch, TimingChannel

from tests.server.stamped import generated_frame, ms


def times(number: int, *, fps: int = 30, filmed_ms: float | None = None) -> FrameTimes:
    at_ms = 1000 * number / fps
    frame = replace(
        generated_frame(at_ms, received_ms=at_ms + 50),
        arrived_ns=ms(at_ms + 8),
        first_packet_ns=ms(at_ms + 2),
        captured_unix_ns=None if filmed_ms is None else ms(filmed_ms),
    )
    scheduled = ScheduledFrame(generated=frame, play_ns=ms(at_ms + 60), popped_ns=ms(at_ms + 61))
    return FrameTimes(rtp_timestamp=3000 * number, scheduled=scheduled, sent_ns=ms(at_ms + 64))


def test_a_record_says_what_the_stamps_say() -> None:
    """RTP timestamp, capture, arrival, and the other moments counted from arrival."""
    record = RECORD.unpack(times(30, filmed_ms=1_700_000_000_123.5).packed())
    assert record[:3] == (90_000, 1_700_000_000_123.5, 1008.0)
    captured, came, chunked, submitted, taken, made_, received, played, sent = record[3:12]
    assert (captured, came, played, sent) == (-8, -6, 53, 56)
    assert (chunked, submitted, taken, made_, received) == (-8, -8, -8, 42, 42)
    assert record[12:] == (1.0, 2.0, 3.0)


def test_what_is_not_known_is_said() -> None:
    """no report of the camera's side yet: not a number, rather than a guess."""
    assert math.isnan(RECORD.unpack(times(1).packed())[1])


def test_records_gather_but_do_not_wait() -> None:
    """four to a message at 30 fps, fewer where frames are rare; in order, none lost or twice."""
    for fps, most in ((30, 4), (8, 3), (2, 2)):
        batch = TimingBatch()
        messages = [batch.add(times(number, fps=fps)) for number in range(24)]
        sent = [message for message in messages if message is not None]
        names = [RECORD.unpack(record)[0] for record in records(b"".join(sent))]
        assert names == [3000 * number for number in range(len(names))]
        assert len(names) > 24 - most
        assert {len(message) // RECORD.size for message in sent} == {most}


class Channel:
    """A data channel that can be set full or closed."""

    readyState = "open"

    def __init__(self) -> None:
        self.bufferedAmount = 0
        self.sent: list[bytes] = []

    def send(self, data: str | bytes) -> None:
        assert isinstance(data, bytes)
        self.sent.append(data)


def test_a_full_channel_is_skipped_and_counted() -> None:
    """messages are dropped while the buffer is full; once there is room, the newest are sent."""
    channel = Channel()
    timings = TimingChannel(channel)
    for number in range(40):
        channel.bufferedAmount = 1 << 20 if 8 <= number < 28 else 0
        timings.send(times(number))
    names = [RECORD.unpack(record)[0] // 3000 for record in records(b"".join(channel.sent))]
    assert names == [*range(8), *range(28, 40)]
    assert timings.dropped_messages == 5


def test_a_closed_channel_is_told_nothing() -> None:
    """the page has left: that is no loss."""
    channel = Channel()
    channel.readyState = "closed"
    timings = TimingChannel(channel)
    for number in range(8):
        timings.send(times(number))
    assert (channel.sent, timings.dropped_messages) == ([], 0)


def records(message: bytes) -> list[bytes]:
    return [message[at : at + RECORD.size] for at in range(0, len(message), RECORD.size)]


def test_a_message_fits_a_packet() -> None:
    """one datagram each: what is lost costs a few frames, and nothing waits for the rest."""
    assert 4 * RECORD.size < 1100

"""A page that does not read costs the server no more than a bounded buffer."""

import json

import msgspec
from slipstream_server.rtc.event_channel import UNREAD_MAX_BYTES, EventChannel


class Note(msgspec.Struct):
    number: int
    text: str = "x" * 1000


class UnreadChannel:
    """A data channel whose other end takes nothing until it is told to."""

    def __init__(self) -> None:
        self.readyState = "open"
        self.bufferedAmount = 0
        self.sent: list[str] = []

    def send(self, data: str | bytes) -> None:
        assert isinstance(data, str)
        self.sent.append(data)
        self.bufferedAmount += len(data)


def test_what_waits_for_a_page_has_a_bound() -> None:
    """further events are dropped and counted; once there is room, the next ones are sent."""
    channel = UnreadChannel()
    events = EventChannel(channel)
    for number in range(3000):
        events.send(Note(number))
    assert UNREAD_MAX_BYTES < channel.bufferedAmount < UNREAD_MAX_BYTES + 2000
    assert events.dropped_events == 3000 - len(channel.sent) > 0
    channel.bufferedAmount = 0
    events.send(Note(4000))
    assert json.loads(channel.sent[-1])["number"] == 4000


def test_a_closed_channel_is_sent_nothing() -> None:
    """the page has left: that is no loss."""
    channel = UnreadChannel()
    channel.readyState = "closed"
    events = EventChannel(channel)
    events.send(Note(1))
    assert (channel.sent, events.dropped_events, events.is_open) == ([], 0, False)


async def test_the_end_waits_for_a_page_only_so_long() -> None:
    """one that never reads does not keep its call."""
    channel = UnreadChannel()
    events = EventChannel(channel)
    events.send(Note(1))
    await events.flush(0.05)
    assert channel.bufferedAmount > 0

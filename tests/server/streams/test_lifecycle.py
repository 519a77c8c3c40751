"""The state of a stream after scripted events."""

import pytest
from slipstream_server.streams.lifecycle import StreamLifecycle


def after(*events: str) -> StreamLifecycle:
    lifecycle = StreamLifecycle()
    for event in events:
        if event in ("pause", "go on"):
            lifecycle.on_paused(event == "pause")
        else:
            getattr(lifecycle, f"on_{event}")()
    return lifecycle


LIVE = ("publisher_attached", "publisher_connected", "frame_sent")


@pytest.mark.parametrize(
    ("events", "state"),
    [
        ((), "connecting"),
        (("publisher_attached",), "connecting"),
        (("publisher_attached", "publisher_connected"), "warming"),
        (LIVE, "live"),
        # a pause
        ((*LIVE, "pause"), "paused"),
        ((*LIVE, "pause", "frame_sent", "go on"), "warming"),
        ((*LIVE, "pause", "go on", "frame_sent"), "live"),
        (("pause",), "connecting"),
        (("pause", "publisher_attached", "publisher_connected"), "paused"),
        # a publisher that leaves, and one that comes back or takes over
        ((*LIVE, "publisher_detached"), "held"),
        ((*LIVE, "publisher_detached", "frame_sent", "publisher_attached"), "connecting"),
        ((*LIVE, "publisher_detached", *LIVE[:2]), "warming"),
        ((*LIVE, "publisher_attached"), "connecting"),
        ((*LIVE, "publisher_attached", "publisher_connected"), "warming"),
        ((*LIVE, "pause", "publisher_detached"), "held"),
        # an engine that is lost
        ((*LIVE, "engine_lost"), "restarting"),
        ((*LIVE, "engine_lost", "engine_opened"), "warming"),
        ((*LIVE, "engine_lost", "engine_opened", "frame_sent"), "live"),
        ((*LIVE, "engine_lost", "publisher_detached"), "restarting"),
        ((*LIVE, "engine_lost", "publisher_detached", "engine_opened"), "held"),
        ((*LIVE, "pause", "engine_lost", "engine_opened"), "paused"),
    ],
)
def test_the_state_follows_from_the_events(events: tuple[str, ...], state: str) -> None:
    assert after(*events).state == state


def test_a_stream_has_been_connected_once_any_publisher_was() -> None:
    assert not after("publisher_attached").has_been_connected
    assert after(*LIVE, "publisher_detached", "publisher_attached").has_been_connected

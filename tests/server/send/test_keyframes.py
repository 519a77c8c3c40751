"""Key frames: each request is met, none too soon after the last."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st
from slipstream_protocol.clock import NS_PER_MS, NS_PER_S
from slipstream_server.send.keyframes import KeyFrameScheduler


def test_the_first_frame_is_one() -> None:
    """nothing can be decoded before it."""
    key_frames = KeyFrameScheduler()
    assert key_frames.is_due(0)
    key_frames.on_sent(0)
    assert not key_frames.is_due(40 * NS_PER_MS)


def test_many_requests_are_one_key_frame() -> None:
    """a viewer asks until one arrives; it gets one, not one for each."""
    key_frames = KeyFrameScheduler()
    key_frames.on_sent(0)
    for _ in range(5):
        key_frames.request()
    assert key_frames.is_due(NS_PER_S)
    key_frames.on_sent(NS_PER_S)
    assert not key_frames.is_due(3 * NS_PER_S)
    assert key_frames.requests == 5


def test_a_request_too_soon_is_met_later() -> None:
    """it waits for its turn and is not forgotten."""
    key_frames = KeyFrameScheduler(spacing_ns=400 * NS_PER_MS)
    key_frames.on_sent(0)
    key_frames.request()
    assert not key_frames.is_due(399 * NS_PER_MS)
    assert key_frames.is_due(400 * NS_PER_MS)


def test_viewers_that_never_ask() -> None:
    """`every_ns` brings one without a request, and only where it is set."""
    quiet, often = KeyFrameScheduler(), KeyFrameScheduler(every_ns=5 * NS_PER_S)
    for key_frames in (quiet, often):
        key_frames.on_sent(0)
    assert not often.is_due(4 * NS_PER_S)
    assert often.is_due(5 * NS_PER_S)
    assert not quiet.is_due(3600 * NS_PER_S)


def test_more_often_than_the_spacing_is_refused() -> None:
    """the message says what is wrong."""
    with pytest.raises(ValueError, match="every_ns is 1, it must be at least 400000000"):
        KeyFrameScheduler(every_ns=1)


@given(st.lists(st.booleans(), max_size=200))
def test_never_two_in_a_row(requests: list[bool]) -> None:
    """at 24 fps and any requests, key frames are `spacing_ns` apart."""
    key_frames = KeyFrameScheduler()
    sent = []
    for index, requested in enumerate(requests):
        now_ns = index * NS_PER_S // 24
        if requested:
            key_frames.request()
        if key_frames.is_due(now_ns):
            key_frames.on_sent(now_ns)
            sent.append(now_ns)
    assert all(after - before >= 400 * NS_PER_MS for before, after in itertools.pairwise(sent))

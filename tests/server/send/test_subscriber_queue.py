"""A subscriber's queue: which frames it gets, and when it may cause a key frame."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from slipstream_protocol.clock import NS_PER_MS, NS_PER_S
from slipstream_server.send.subscriber_queue import KEY_SPACING_NS, SubscriberQueue

LINK_BPS = 1_000_000


def push(
    queue: SubscriberQueue[int], frame: int, *, key: bool = False, size: int = 100, at_ms: int = 0
) -> None:
    queue.push(frame, size_bytes=size, is_key=key, link_bps=LINK_BPS, now_ns=at_ms * NS_PER_MS)


def drain(queue: SubscriberQueue[int]) -> list[int]:
    return list(iter(queue.pop, None))


def test_it_begins_with_a_key_frame() -> None:
    """which it wants at once; what comes before is left out and counted."""
    queue = SubscriberQueue[int]()
    assert queue.wants_key(0)
    push(queue, 0)
    push(queue, 1, key=True)
    push(queue, 2)
    assert drain(queue) == [1, 2]
    assert queue.drops == {"keyless": 1}
    assert not queue.wants_key(0)


def test_one_viewer_causes_a_key_frame_only_so_often() -> None:
    """a request is not forgotten, and waits; one that others caused costs nothing."""
    queue = SubscriberQueue[int]()
    push(queue, 0, key=True)
    push(queue, 1, key=True, at_ms=900)
    queue.request_key()
    assert not queue.wants_key(KEY_SPACING_NS - 1)
    assert queue.wants_key(KEY_SPACING_NS)


def test_a_queue_that_nobody_fetches_is_emptied() -> None:
    """it never grows beyond its bound, and goes on with the next key frame."""
    queue = SubscriberQueue[int](max_frames=3)
    push(queue, 0, key=True)
    for frame in range(1, 10):
        push(queue, frame)
    assert queue.drops == {"unfetched": 3, "keyless": 7}
    assert queue.wants_key(KEY_SPACING_NS)
    push(queue, 10, key=True)
    assert drain(queue) == [10]


def test_a_link_that_carries_half_gets_the_picture_in_parts() -> None:
    """as much as it carries, in pieces that can be decoded, each begun by a key frame."""
    queue = SubscriberQueue[int]()
    got: list[int] = []
    keys = 0
    for frame in range(30 * 25):  # 30 s of twice the link
        now_ms = frame * 40
        key = queue.wants_key(now_ms * NS_PER_MS)
        keys += key
        push(queue, frame, key=key, size=2 * LINK_BPS // 8 // 25, at_ms=now_ms)
        got += drain(queue)
    assert queue.drops["link"] > 0
    assert 0.4 * 750 < len(got) < 0.7 * 750
    assert keys <= 1 + 30 * NS_PER_S // KEY_SPACING_NS


@given(
    st.lists(
        st.tuples(st.booleans(), st.integers(0, 80_000), st.integers(0, 200), st.booleans()),
        max_size=200,
    )
)
def test_what_comes_out_can_be_decoded(script: list[tuple[bool, int, int, bool]]) -> None:
    """whatever sizes, times and fetches: each frame is a key frame or follows the one before it,
    and every frame is either given out, dropped with a cause, or still waiting."""
    queue, got, keys, now_ms = SubscriberQueue[int](max_frames=5), list[int](), set[int](), 0
    for frame, (key, size, wait_ms, fetch) in enumerate(script):
        now_ms += wait_ms
        push(queue, frame, key=key, size=size, at_ms=now_ms)
        keys |= {frame} if key else set()
        if fetch:
            got += drain(queue)
    got += drain(queue)
    for before, frame in zip([None, *got], got, strict=False):
        assert frame in keys or before == frame - 1
    assert len(got) + sum(queue.drops.values()) == len(script)


def test_a_queue_without_places_is_refused() -> None:
    with pytest.raises(ValueError, match="max_frames is 0, it must be at least 1"):
        SubscriberQueue[int](max_frames=0)

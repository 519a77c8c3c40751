"""A seat at a shared picture: what one viewer gets, and what it may ask of all."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from slipstream_protocol.clock import NS_PER_MS, NS_PER_S
from slipstream_server.send.subscriber_queue import KEY_SPACING_NS, SubscriberQueue

LINK_BPS = 1_000_000


def put(
    seat: SubscriberQueue[int], frame: int, *, key: bool = False, size: int = 100, at_ms: int = 0
) -> None:
    seat.put(frame, size_bytes=size, key=key, link_bps=LINK_BPS, now_ns=at_ms * NS_PER_MS)


def drain(seat: SubscriberQueue[int]) -> list[int]:
    return list(iter(seat.pop, None))


def test_it_begins_with_a_key_frame() -> None:
    """which it wants at once; what comes before is left out and counted."""
    seat = SubscriberQueue[int]()
    assert seat.wants_key(0)
    put(seat, 0)
    put(seat, 1, key=True)
    put(seat, 2)
    assert drain(seat) == [1, 2]
    assert seat.drops == {"keyless": 1}
    assert not seat.wants_key(0)


def test_one_viewer_causes_a_key_frame_only_so_often() -> None:
    """a request is not forgotten, and waits; one that others caused costs nothing."""
    seat = SubscriberQueue[int]()
    put(seat, 0, key=True)
    put(seat, 1, key=True, at_ms=900)
    seat.request_key()
    assert not seat.wants_key(KEY_SPACING_NS - 1)
    assert seat.wants_key(KEY_SPACING_NS)


def test_a_queue_that_nobody_fetches_is_emptied() -> None:
    """it never grows beyond its bound, and goes on with the next key frame."""
    seat = SubscriberQueue[int](bound_frames=3)
    put(seat, 0, key=True)
    for frame in range(1, 10):
        put(seat, frame)
    assert seat.drops == {"unfetched": 3, "keyless": 7}
    assert seat.wants_key(KEY_SPACING_NS)
    put(seat, 10, key=True)
    assert drain(seat) == [10]


def test_a_link_that_carries_half_gets_the_picture_in_parts() -> None:
    """as much as it carries, in pieces that can be decoded, each begun by a key frame."""
    seat = SubscriberQueue[int]()
    got: list[int] = []
    keys = 0
    for frame in range(30 * 25):  # 30 s of twice the link
        now_ms = frame * 40
        key = seat.wants_key(now_ms * NS_PER_MS)
        keys += key
        put(seat, frame, key=key, size=2 * LINK_BPS // 8 // 25, at_ms=now_ms)
        got += drain(seat)
    assert seat.drops["link"] > 0
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
    seat, got, keys, now_ms = SubscriberQueue[int](bound_frames=5), list[int](), set[int](), 0
    for frame, (key, size, wait_ms, fetch) in enumerate(script):
        now_ms += wait_ms
        put(seat, frame, key=key, size=size, at_ms=now_ms)
        keys |= {frame} if key else set()
        if fetch:
            got += drain(seat)
    got += drain(seat)
    for before, frame in zip([None, *got], got, strict=False):
        assert frame in keys or before == frame - 1
    assert len(got) + sum(seat.drops.values()) == len(script)


def test_a_queue_without_places_is_refused() -> None:
    with pytest.raises(ValueError, match="bound_frames is 0, it must be at least 1"):
        SubscriberQueue[int](bound_frames=0)

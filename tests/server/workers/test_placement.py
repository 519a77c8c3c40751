"""workers/placement.py: which worker gets the next call."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from slipstream_server.errors import ServerFull
from slipstream_server.observability.metrics import CallCounts
from slipstream_server.workers.placement import WorkerPlacement
from slipstream_server.workers.protocol import StreamSummary, WorkerStatus


def streams(*names: str, since_ns: int = 0) -> tuple[StreamSummary, ...]:
    return tuple(StreamSummary(name=name, since_ns=since_ns) for name in names)


def test_a_camera_goes_to_the_worker_with_the_fewest_calls() -> None:
    placement = WorkerPlacement(max_subscribers=8)
    placement.update_status(0, WorkerStatus(streams=streams("a"), publishers=1, subscribers=2))
    placement.update_status(1, WorkerStatus(streams=streams("b"), publishers=1))
    assert placement.worker_for_publisher({0: 4, 1: 4}, (0, 1)) == 1


def test_one_without_a_free_lane_comes_last_however_few_its_calls() -> None:
    placement = WorkerPlacement(max_subscribers=8)
    placement.update_status(0, WorkerStatus(streams=streams("a"), publishers=1))
    placement.update_status(1, WorkerStatus(streams=streams("b"), publishers=1, subscribers=5))
    assert placement.worker_for_publisher({0: 1, 1: 2}, (0, 1)) == 1


def test_a_held_stream_makes_room_where_no_lane_is_free() -> None:
    placement = WorkerPlacement(max_subscribers=8)
    placement.update_status(0, WorkerStatus(streams=streams("a"), publishers=1))
    placement.update_status(1, WorkerStatus(streams=streams("b"), subscribers=5, held=1))
    assert placement.worker_for_publisher({0: 1, 1: 1}, (0, 1)) == 1


def test_one_that_does_not_answer_is_taken_only_where_the_others_are_full() -> None:
    placement = WorkerPlacement(max_subscribers=8)
    placement.update_status(0, WorkerStatus(streams=streams("a"), publishers=1))
    assert placement.worker_for_publisher({0: 2, 1: 2}, {0}) == 0
    assert placement.worker_for_publisher({0: 1, 1: 2}, {0}) == 1


@given(workers=st.integers(1, 6), share=st.integers(1, 4))
def test_calls_that_come_together_are_spread_and_fill_every_lane(workers: int, share: int) -> None:
    """each counts from the moment it is sent."""
    placement = WorkerPlacement(max_subscribers=0)
    lanes = dict.fromkeys(range(workers), share)
    taken = dict.fromkeys(range(workers), 0)
    with contextlib.ExitStack() as on_the_way:
        for _ in range(workers * share):
            worker = placement.worker_for_publisher(lanes, lanes)
            on_the_way.enter_context(placement.publisher_arriving(worker))
            taken[worker] += 1
            assert max(taken.values()) - min(taken.values()) <= 1
        with pytest.raises(ServerFull, match=f"all {workers * share} streams are in use"):
            placement.worker_for_publisher(lanes, lanes)
    assert taken == lanes


def test_the_newest_stream_is_watched_where_none_is_named() -> None:
    placement = WorkerPlacement(max_subscribers=8)
    assert placement.worker_of(None) is None
    placement.update_status(0, WorkerStatus(streams=streams("new", since_ns=2), publishers=1))
    placement.update_status(1, WorkerStatus(streams=streams("old", since_ns=1), publishers=1))
    assert placement.worker_of(None) == 0
    assert placement.worker_of("old") == 1
    assert placement.worker_of("none such") is None


def test_two_who_want_the_same_name_meet_on_one_worker() -> None:
    """which then tells the second that it is taken."""
    placement = WorkerPlacement(max_subscribers=8)
    with placement.publisher_arriving(1, stream="studio"):
        assert placement.worker_of("studio") == 1
        with placement.publisher_arriving(1, stream="studio"):
            pass
        assert placement.worker_of("studio") == 1
    assert placement.worker_of("studio") is None


def test_the_last_viewers_place_is_given_away_once() -> None:
    """over all workers, those on the way counted."""
    placement = WorkerPlacement(max_subscribers=3)
    placement.update_status(0, WorkerStatus(subscribers=1))
    placement.update_status(1, WorkerStatus(subscribers=1))
    full = pytest.raises(ServerFull, match="3 viewers are watching already")
    with placement.subscriber_arriving(0), full, placement.subscriber_arriving(1):
        raise AssertionError("one too many was admitted")
    with placement.subscriber_arriving(1):
        pass


def test_what_a_lost_worker_had_is_gone() -> None:
    placement = WorkerPlacement(max_subscribers=8)
    placement.update_status(0, WorkerStatus(streams=streams("a"), publishers=1, subscribers=2))
    placement.update_status(1, WorkerStatus(streams=streams("b"), publishers=1, held=1))
    assert placement.count() == CallCounts(publishers=2, subscribers=2, held=1)
    assert placement.remove(0) == 3
    assert placement.worker_of("a") is None
    assert placement.count() == CallCounts(publishers=1, held=1)
    assert placement.remove(0) == 0

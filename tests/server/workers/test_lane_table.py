"""Lanes of one engine spread over workers, against an engine that answers when it likes."""

from collections import deque

import pytest
from hypothesis import given
from hypothesis import strategies as st
from slipstream_protocol.messages import (
    ChunkIn,
    CloseStream,
    Failed,
    Loading,
    OpenStream,
    SlotFree,
    Stop,
    StreamClosed,
    StreamOpened,
    StreamRefused,
    ToServer,
)
from slipstream_protocol.parameters import Parameters
from slipstream_server.workers.lane_table import LaneTable, LaneViolation


def opening(lane: int) -> OpenStream:
    return OpenStream(lane=lane, parameters=Parameters())


def chunk(lane: int) -> ChunkIn:
    return ChunkIn(lane=lane, slot=0, chunk=0, frames=4, captured_ns=0, submitted_ns=0)


@given(lanes=st.integers(1, 64), workers=st.integers(1, 16))
def test_every_lane_is_one_workers_own(lanes: int, workers: int) -> None:
    """none is left over, none is shared, and no worker has two more than another."""
    lane_table = LaneTable(lanes, workers)
    shares = [lane_table.lanes_of(worker) for worker in range(workers)]
    assert sorted(lane for share in shares for lane in share) == list(range(lanes))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_each_gets_messages_about_its_own_lanes_only() -> None:
    lane_table = LaneTable(4, 2)
    for lane in range(4):
        assert lane_table.on_worker_message(lane % 2, opening(lane))
        assert lane_table.on_engine_message(StreamOpened(lane=lane)) == lane % 2
        assert lane_table.on_engine_message(SlotFree(lane=lane, slot=0)) == lane % 2
        assert lane_table.on_engine_message(Failed(lane=lane, reason="it broke")) == lane % 2


@pytest.mark.parametrize("message", [Loading(stage="weights"), Failed(lane=-1, reason="broke")])
def test_a_message_about_no_lane_is_for_no_worker(message: ToServer) -> None:
    assert LaneTable(2, 2).on_engine_message(message) is None


def test_a_worker_may_not_use_anothers_lane() -> None:
    lane_table = LaneTable(2, 2)
    with pytest.raises(LaneViolation, match=r"speaks of lane 1, its own are \(0,\)"):
        lane_table.on_worker_message(0, opening(1))
    with pytest.raises(LaneViolation, match="speaks of lane 7"):
        lane_table.on_worker_message(0, chunk(7))


def test_a_worker_may_not_stop_the_engine() -> None:
    with pytest.raises(LaneViolation, match="would stop the engine"):
        LaneTable(1, 1).on_worker_message(0, Stop())


def test_a_lane_is_opened_once() -> None:
    lane_table = LaneTable(1, 1)
    lane_table.on_worker_message(0, opening(0))
    with pytest.raises(LaneViolation, match="opens lane 0, which is open"):
        lane_table.on_worker_message(0, opening(0))


def test_a_refused_lane_can_be_asked_for_again() -> None:
    lane_table = LaneTable(1, 1)
    lane_table.on_worker_message(0, opening(0))
    refusal = StreamRefused(lane=0, reason="no room", retry_after_s=1.0)
    assert lane_table.on_engine_message(refusal) == 0
    assert lane_table.on_worker_message(0, opening(0))


def test_a_lane_is_closing_until_the_engine_has_confirmed_it() -> None:
    """a refusal that crosses the closing frees nothing; what crosses the end is not passed on."""
    lane_table = LaneTable(1, 1)
    lane_table.on_worker_message(0, opening(0))
    assert lane_table.on_worker_message(0, CloseStream(lane=0))
    assert not lane_table.on_worker_message(0, CloseStream(lane=0)), "the engine answers each"
    refusal = StreamRefused(lane=0, reason="no room", retry_after_s=1.0)
    assert lane_table.on_engine_message(refusal) == 0
    with pytest.raises(LaneViolation, match="which is closing"):
        lane_table.on_worker_message(0, opening(0))
    assert lane_table.on_engine_message(StreamClosed(lane=0)) == 0
    assert not lane_table.on_worker_message(0, chunk(0))
    assert lane_table.on_worker_message(0, opening(0))


def test_a_dead_workers_lanes_are_closed_and_its_successor_waits_for_that() -> None:
    lane_table = LaneTable(6, 2)
    for lane in (0, 2, 1):
        lane_table.on_worker_message(lane % 2, opening(lane))
    lane_table.on_worker_message(0, CloseStream(lane=2))
    assert lane_table.abandon(0) == [CloseStream(lane=0)], (
        "lane 2 is being closed, 4 was never open"
    )
    assert not lane_table.is_clear(0)
    assert lane_table.is_clear(1)
    assert lane_table.on_engine_message(SlotFree(lane=0, slot=0)) is None
    assert lane_table.on_engine_message(StreamClosed(lane=0)) is None
    assert not lane_table.is_clear(0)
    assert lane_table.on_engine_message(StreamClosed(lane=2)) is None
    assert lane_table.is_clear(0)
    assert lane_table.on_engine_message(SlotFree(lane=1, slot=0)) == 1, (
        "the other has noticed nothing"
    )


class Engine:
    """Answers as the real one does, in order, whenever the test lets it."""

    def __init__(self) -> None:
        self.streams: set[int] = set()
        self.received: deque[OpenStream | CloseStream] = deque()

    def answer(self, admits: bool) -> ToServer:
        message = self.received.popleft()
        if isinstance(message, CloseStream):
            self.streams.discard(message.lane)
            return StreamClosed(lane=message.lane)
        assert message.lane not in self.streams, "a lane is opened while it is in use"
        if not admits:
            return StreamRefused(lane=message.lane, reason="no", retry_after_s=1.0)
        self.streams.add(message.lane)
        return StreamOpened(lane=message.lane)


class Worker:
    """Follows the rules of the engine's client on its lanes."""

    def __init__(self) -> None:
        self.open: dict[int, bool] = {}  # lane -> whether it is closing


@given(data=st.data(), workers=st.integers(1, 4), lanes=st.integers(1, 8))
def test_in_any_order_nothing_is_left_open_and_nobody_gets_anothers_messages(
    data: st.DataObject, workers: int, lanes: int
) -> None:
    """any order of opens, closes, answers, refusals and deaths of workers."""
    lane_table, engine = LaneTable(lanes, workers), Engine()
    staff = {index: Worker() for index in range(workers)}  # those connected to the engine
    waiting: set[int] = set()
    for _ in range(data.draw(st.integers(0, 60))):
        action = data.draw(st.sampled_from(["open", "close", "answer", "answer", "die"]))
        index = data.draw(st.integers(0, workers - 1))
        worker = staff.get(index)
        if action == "answer" and engine.received:
            message = engine.answer(data.draw(st.booleans()))
            lane: int = message.lane  # type: ignore[union-attr]  # these three have one
            to = lane_table.on_engine_message(message)
            if to is not None:
                receiver = staff[to]
                assert lane in receiver.open, "it gets a message about a stream it does not have"
                closing = receiver.open[lane]
                if isinstance(message, StreamClosed) or (
                    isinstance(message, StreamRefused) and not closing
                ):
                    del receiver.open[lane]
            for back in [one for one in waiting if lane_table.is_clear(one)]:
                waiting.remove(back)
                staff[back] = Worker()
        elif worker is None:
            continue
        elif action == "open":
            free = [lane for lane in lane_table.lanes_of(index) if lane not in worker.open]
            if free:
                assert lane_table.on_worker_message(index, opening(free[0]))
                worker.open[free[0]] = False
                engine.received.append(opening(free[0]))
        elif action == "close":
            for lane, closing in worker.open.items():
                if not closing:
                    worker.open[lane] = True
                    assert lane_table.on_worker_message(index, CloseStream(lane=lane))
                    engine.received.append(CloseStream(lane=lane))
                    break
        elif action == "die":
            del staff[index]
            engine.received.extend(lane_table.abandon(index))
            waiting.add(index)
            if lane_table.is_clear(index):
                waiting.remove(index)
                staff[index] = Worker()
    for index in staff:
        engine.received.extend(lane_table.abandon(index))
    while engine.received:
        assert lane_table.on_engine_message(engine.answer(True)) is None
    assert not engine.streams
    assert all(lane_table.is_clear(index) for index in range(workers))

"""scheduling/flow_control.py: when a stream may send its next chunk, and when it is held."""

from hypothesis import given
from hypothesis import strategies as st
from slipstream_engine.scheduling.flow_control import FlowControl
from slipstream_engine.scheduling.input_credits import Credit
from slipstream_engine.scheduling.scheduler import Scheduler
from slipstream_engine.scheduling.types import Batch, MicroStep, Prefetch, Stage

from tests.engine.exact_device import MS, TINY, exact_model


class Policy(Scheduler):
    """A scheduler that prefetches as it is set to."""

    def __init__(self, streams: int = 2, prefetch: Prefetch = Prefetch.ON_IDLE) -> None:
        super().__init__(exact_model("tiny"), caution=0)
        self.setting = prefetch
        for stream in range(streams):
            self.open(stream, period_ns=1000 * MS)

    def prefetch(self, stream: int) -> Prefetch:
        return self.setting


class Driver:
    """Drives a policy and its flow control as the loop does; every pass takes no time.

    Attributes:
        credits: granted so far, by the moment.
    """

    def __init__(self, policy: Policy, *, output_slots: int = 2) -> None:
        self.policy = policy
        self.flow = FlowControl(policy)
        self.credits: list[tuple[str, Credit]] = []
        self.finished: list[MicroStep] = []
        self.unread: dict[int, int] = {}
        self._output_slots = output_slots

    def offer(self, stream: int, chunk: int, slot: int = 0) -> None:
        self.flow.occupy(stream, chunk, slot)
        self.policy.offer(stream, chunk, now_ns=0, deadline_ns=10**12, shape=TINY)

    def step(self) -> Batch | None:
        batch = self.policy.next_batch(0)
        self._note("before" if batch else "idle", self.flow.credits_before(batch))
        if batch is None:
            return None
        self.policy.done(batch, started_ns=0, ended_ns=1)
        for item in batch.items:
            if item.stage is Stage.ENCODE:
                self._note("encoded", self.flow.on_encoded(item.stream, item.chunk))
            elif item.stage is Stage.DECODE:
                self.finished.append(item)
                self.unread[item.stream] = self.unread.get(item.stream, 0) + 1
                has_room = self.unread[item.stream] < self._output_slots
                granted = self.flow.on_output(item.stream, item.chunk, has_output_room=has_room)
                self._note("output", granted)
        return batch

    def read(self, stream: int) -> None:
        self.unread[stream] -= 1
        self.flow.on_output_read(stream)

    def drain(self) -> None:
        while self.step():
            pass

    def _note(self, moment: str, granted: list[Credit]) -> None:
        self.credits += [(moment, credit) for credit in granted]


def test_after_encode_the_slot_is_free_at_once() -> None:
    """and it is granted only once for each chunk."""
    driver = Driver(Policy(prefetch=Prefetch.AFTER_ENCODE))
    driver.offer(0, 0, slot=3)
    driver.drain()
    assert driver.credits == [("encoded", Credit(stream=0, slot=3))]


def test_after_output_the_slot_is_free_when_the_chunk_is_finished() -> None:
    """whatever else the device has to do."""
    driver = Driver(Policy(prefetch=Prefetch.AFTER_OUTPUT))
    driver.offer(0, 0)
    driver.offer(1, 0)
    driver.drain()
    assert driver.credits == [("output", Credit(stream=n, slot=0)) for n in (0, 1)]


def test_on_idle_a_credit_waits_for_the_last_pass() -> None:
    """stream 0, served first, may send when the last pass of all begins; stream 1 when there is
    nothing to run at all."""
    driver = Driver(Policy())
    driver.offer(0, 0)
    driver.offer(1, 0)
    driver.drain()
    assert driver.credits == [
        ("before", Credit(stream=0, slot=0)),
        ("idle", Credit(stream=1, slot=0)),
    ]


def test_a_chunk_encoded_before_the_policy_changed_is_not_credited_twice() -> None:
    """its slot went back after the encoding, so its output frees none."""
    driver = Driver(Policy(prefetch=Prefetch.AFTER_ENCODE))
    driver.offer(0, 0)
    driver.step()
    driver.policy.setting = Prefetch.AFTER_OUTPUT
    driver.drain()
    assert [moment for moment, _ in driver.credits] == ["encoded"]


def test_a_dropped_chunk_frees_its_slot() -> None:
    """the newer chunk that replaced it keeps its own."""
    driver = Driver(Policy())
    driver.offer(0, 0, slot=0)
    driver.offer(0, 1, slot=1)
    (dropped,) = driver.policy.take_dropped()
    assert driver.flow.on_dropped(dropped.stream, dropped.chunk) == Credit(stream=0, slot=0)
    driver.drain()
    assert driver.credits == [("idle", Credit(stream=0, slot=1))]


def test_a_closed_stream_gets_no_credits() -> None:
    """neither one that was due later nor one of a chunk in flight; its number can be used again."""
    driver = Driver(Policy())
    driver.offer(0, 0)
    driver.drain()
    driver.offer(0, 1)
    driver.step()
    driver.credits.clear()
    driver.policy.close(0)
    driver.flow.close(0)
    driver.policy.open(0, period_ns=1000 * MS)
    driver.offer(0, 0, slot=5)
    driver.drain()
    assert driver.credits == [("idle", Credit(stream=0, slot=5))]


def test_a_stream_without_output_room_is_held() -> None:
    """its next chunk is not begun until an output slot has been read; others go on."""
    driver = Driver(Policy(), output_slots=1)
    driver.offer(0, 0)
    driver.drain()
    driver.offer(0, 1)
    driver.offer(1, 0)
    driver.drain()
    assert [(item.stream, item.chunk) for item in driver.finished] == [(0, 0), (1, 0)]
    driver.read(0)
    driver.drain()
    assert [(item.stream, item.chunk) for item in driver.finished][2:] == [(0, 1)]


actions = st.one_of(st.sampled_from(list(Prefetch)), st.just("step"), st.just("read"))


@given(st.lists(actions, max_size=80))
def test_a_slot_is_never_given_back_twice(actions: list[Prefetch | str]) -> None:
    """streams that send on every credit and only then have one slot's worth of chunks under way,
    whatever the policy says, and all credits are granted in the end."""
    driver = Driver(Policy())
    sent = {0: 1, 1: 1}
    owned = dict.fromkeys(sent, False)  # the slot, by its stream
    for stream in sent:
        driver.offer(stream, 0)

    def send() -> None:
        for _, credit in driver.credits:
            assert not owned[credit.stream], "a slot came back that was not away"
            owned[credit.stream] = True
        driver.credits.clear()
        for stream, is_ours in owned.items():
            if is_ours and driver.policy.has_room(stream):
                driver.offer(stream, sent[stream])
                sent[stream] += 1
                owned[stream] = False

    for action in actions:
        if isinstance(action, Prefetch):
            driver.policy.setting = action
        elif action == "step":
            driver.step()
        else:
            for stream, unread in driver.unread.items():
                if unread:
                    driver.read(stream)
        send()
    for _ in range(4):
        for stream, unread in driver.unread.items():
            for _ in range(unread):
                driver.read(stream)
        driver.drain()
    for _, credit in driver.credits:
        assert not owned[credit.stream]
        owned[credit.stream] = True
    assert all(owned.values())


def test_a_stream_that_is_closed_is_due_nothing_and_the_others_are() -> None:
    """no credit is left for its slots, and none of another stream's is lost."""
    for prefetch in (Prefetch.AFTER_OUTPUT, Prefetch.ON_IDLE):
        driver = Driver(Policy(prefetch=prefetch))
        for stream in range(2):
            driver.offer(stream, 0, slot=stream)
        driver.policy.close(0)
        driver.flow.close(0)
        while driver.step():
            pass
        assert [credit for _, credit in driver.credits] == [Credit(stream=1, slot=1)]


def test_a_credit_that_waits_goes_with_its_stream() -> None:
    """closed between its output and the moment when the device has nothing to do."""
    driver = Driver(Policy(prefetch=Prefetch.ON_IDLE))
    driver.offer(0, 0)
    while not driver.finished:
        driver.step()
    driver.credits.clear()
    driver.policy.close(0)
    driver.flow.close(0)
    driver.step()
    assert driver.credits == []

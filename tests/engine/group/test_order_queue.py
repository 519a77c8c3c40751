"""group/order_queue.py: which of a rank's orders is carried out next."""

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st
from slipstream_engine.group.order_queue import OrderQueue, QueuedOrder
from slipstream_engine.parallel.message_flow import MessageFlow


@dataclass(eq=False)
class Awaited:
    has_come: bool = False


def order(
    flow: MessageFlow | None, *, chunk: int | None = None, awaits: Awaited | None = None
) -> QueuedOrder:
    return QueuedOrder(
        run=lambda: None,
        flow=flow,
        chunk=None if chunk is None else (1, chunk),
        inputs=() if awaits is None else (awaits,),
    )


def queue_of(*orders: QueuedOrder) -> OrderQueue:
    queue = OrderQueue()
    for one in orders:
        queue.add(one)
    return queue


def test_orders_are_carried_out_as_they_were_given() -> None:
    """where nothing is waited for; then there is none."""
    orders = [order(MessageFlow.STEPS, chunk=2), order(None), order(MessageFlow.DECODE, chunk=1)]
    queue = queue_of(*orders)
    assert [queue.take() for _ in range(4)] == [*orders, None]


def test_a_decoder_does_not_wait_for_a_step() -> None:
    """of another chunk; once its activations have come the step is the older one."""
    activations = Awaited()
    step, decode = (
        order(MessageFlow.STEPS, chunk=2, awaits=activations),
        order(MessageFlow.DECODE, chunk=1),
    )
    assert queue_of(step, decode).ready() is decode
    activations.has_come = True
    assert queue_of(step, decode).ready() is step


def test_what_must_not_be_overtaken_is_waited_for() -> None:
    """an order of the same flow, one of the same chunk, one without a flow; nor does that one
    overtake."""
    for first, second in (
        (order(MessageFlow.STEPS, chunk=1, awaits=Awaited()), order(MessageFlow.STEPS, chunk=2)),
        (order(MessageFlow.STEPS, chunk=1, awaits=Awaited()), order(MessageFlow.DECODE, chunk=1)),
        (order(None, awaits=Awaited()), order(MessageFlow.DECODE, chunk=1)),
        (order(MessageFlow.STEPS, chunk=1, awaits=Awaited()), order(None)),
    ):
        assert queue_of(first, second).ready() is None


orders = st.lists(
    st.tuples(st.sampled_from([None, *MessageFlow]), st.integers(0, 3), st.booleans()), max_size=12
)


@given(orders, st.randoms(use_true_random=False))
def test_all_are_carried_out_and_what_depends_on_each_other_in_order(
    given_orders: list[tuple[MessageFlow | None, int, bool]], draws: object
) -> None:
    """whenever their inputs come: two of one flow or chunk, or of which one has no flow, never
    change places, and one that can go on is not left."""
    awaited = [Awaited(has_come=not waits) for _, _, waits in given_orders]
    made = [
        order(flow, chunk=None if flow is None else chunk, awaits=one)
        for (flow, chunk, _), one in zip(given_orders, awaited, strict=True)
    ]
    queue, done = queue_of(*made), list[QueuedOrder]()
    missing = [one for one in awaited if not one.has_come]
    draws.shuffle(missing)  # type: ignore[attr-defined]  # a Random
    while len(done) < len(made):
        if (taken := queue.take()) is None:
            missing.pop().has_come = True  # else there would be none left to wait for
        else:
            assert taken.is_ready
            done.append(taken)
    for place, later in enumerate(made):
        for earlier in made[:place]:
            is_bound = None in (earlier.flow, later.flow) or earlier.flow is later.flow
            if is_bound or earlier.chunk == later.chunk:
                assert done.index(earlier) < done.index(later)
